//! A request's body that tells its connection when all of it is here: until then whoever sends it may lose its place.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use hyper::body::{Body, Frame, SizeHint};

use super::places::Receipt;

#[derive(Debug)]
pub struct Heard<B> {
    body: B,
    receipt: Option<Receipt>,
}

impl<B: Body + Unpin> Heard<B> {
    pub fn new(body: B, receipt: Option<Receipt>) -> Heard<B> {
        let mut heard = Heard { body, receipt };
        heard.tell_if(false);
        heard
    }

    fn tell_if(&mut self, is_over: bool) {
        if (is_over || self.body.is_end_stream())
            && let Some(receipt) = self.receipt.take()
        {
            receipt.received();
        }
    }
}

impl<B: Body + Unpin> Body for Heard<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        self.tell_if(frame.is_none());
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

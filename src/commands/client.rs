//! Asking a running `headroom serve` over its HTTP API.

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use reqwest::{Method, StatusCode, Url};
use serde_json::Value;

use super::error::Error;
use crate::config::Token;
use crate::disk;
use crate::net::https::{self, root_cause};

/// Longer than the longest query that `api.sql_timeout` allows by default, with the server's own margin.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The server's own bound is 4 MiB.
const ANSWER_BYTES_MAX: usize = 64 << 20;
/// A bundle of a system's authorities is a quarter of that.
const CA_BYTES_MAX: u64 = 1 << 20;

/// Where the server is, and how to be let in.
#[derive(clap::Args)]
pub struct Server {
    /// Address of a running `headroom serve`
    #[arg(long, value_name = "URL", env = "HEADROOM_SERVER", default_value = "http://127.0.0.1:8080")]
    pub server: Url,
    /// Its bearer token (better given in the environment)
    #[arg(long, env = "HEADROOM_TOKEN", hide_env_values = true, value_parser = parse_token)]
    token: Option<Token>,
    /// The authority of its certificate, PEM, where the system does not know it
    #[arg(long, value_name = "FILE", env = "HEADROOM_CA_FILE")]
    ca_file: Option<PathBuf>,
}

fn parse_token(text: &str) -> Result<Token, std::convert::Infallible> {
    Ok(Token::new(text))
}

impl Server {
    pub fn get(&self, path: &[&str]) -> Result<Value, Error> {
        self.ask(Method::GET, path, &[], None)
    }

    /// With parameters of the query.
    pub fn get_with(&self, path: &[&str], parameters: &[(&str, &str)]) -> Result<Value, Error> {
        self.ask(Method::GET, path, parameters, None)
    }

    pub fn post(&self, path: &[&str], body: &Value) -> Result<Value, Error> {
        self.ask(Method::POST, path, &[], Some(body))
    }

    fn ask(
        &self,
        method: Method,
        path: &[&str],
        parameters: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<Value, Error> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Error::Runtime)?;
        runtime.block_on(self.send(method, path, parameters, body))
    }

    async fn send(
        &self,
        method: Method,
        path: &[&str],
        parameters: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<Value, Error> {
        let server = self.server.to_string();
        let unreachable = |cause: String| Error::Unreachable { server: server.clone(), cause };
        let mut url = self.server.clone();
        url.path_segments_mut()
            .map_err(|()| unreachable("this is no http address".into()))?
            .pop_if_empty()
            .extend(["api", "v1"])
            .extend(path);
        if !parameters.is_empty() {
            url.query_pairs_mut().extend_pairs(parameters);
        }
        let (status, text) = match url.scheme() {
            "https" => self.exchange_over_tls(method, url, body).await?,
            _ => self.exchange(method, url, body).await?,
        };
        let answer: Value = serde_json::from_slice(&text)
            .map_err(|error| unreachable(format!("it answered {status} and no JSON ({error})")))?;
        if status.is_success() {
            return Ok(answer);
        }
        let part = |key: &str| answer[key].as_str().map(str::to_owned);
        Err(Error::Refused {
            server: server.clone(),
            status: status.as_u16(),
            error: part("error").unwrap_or_else(|| status.to_string()),
            remedy: part("remedy").unwrap_or_else(|| "look at the daemon's log".into()),
        })
    }

    async fn exchange(&self, method: Method, url: Url, body: Option<&Value>) -> Result<(StatusCode, Bytes), Error> {
        let failed = |error: reqwest::Error| self.unreachable(root_cause(&error));
        let client = reqwest::Client::builder()
            .timeout(TIMEOUT)
            .no_proxy() // the server is named by its address; a proxy meant for the internet is not on the way
            .build()
            .map_err(failed)?;
        let mut request = client.request(method, url);
        if let Some(token) = &self.token {
            request = request.bearer_auth(token.reveal());
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await.map_err(failed)?;
        Ok((response.status(), response.bytes().await.map_err(failed)?))
    }

    async fn exchange_over_tls(
        &self,
        method: Method,
        url: Url,
        body: Option<&Value>,
    ) -> Result<(StatusCode, Bytes), Error> {
        let read = |file: &PathBuf| {
            disk::read_text(file, CA_BYTES_MAX)
                .map_err(|unfit| Error::Read { path: file.clone(), source: unfit.into() })
        };
        let authority = self.ca_file.as_ref().map(read).transpose()?;
        let mut request = Request::builder().method(method).uri(url.as_str()).header(CONTENT_TYPE, "application/json");
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, format!("Bearer {}", token.reveal()));
        }
        let request = request
            .body(body.map(Value::to_string).unwrap_or_default().into_bytes())
            .map_err(|error| self.unreachable(error.to_string()))?;
        let answer = https::ask(request, authority.as_deref(), TIMEOUT, ANSWER_BYTES_MAX).await;
        let answer = answer.map_err(|cause| self.unreachable(cause))?;
        Ok((answer.status(), answer.into_body()))
    }

    fn unreachable(&self, cause: String) -> Error {
        Error::Unreachable { server: self.server.to_string(), cause }
    }
}

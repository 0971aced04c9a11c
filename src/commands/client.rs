//! Asking a running `headroom serve` over its HTTP API.

use std::time::Duration;

use reqwest::{Method, Url};
use serde_json::Value;

use super::error::Error;
use crate::config::Token;

/// Longer than the longest query that `api.sql_timeout` allows by default, with the server's own margin.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Where the server is, and how to be let in.
#[derive(clap::Args)]
pub struct Server {
    /// Address of a running `headroom serve`
    #[arg(long, value_name = "URL", env = "HEADROOM_SERVER", default_value = "http://127.0.0.1:8080")]
    pub server: Url,
    /// Its bearer token (better given in the environment)
    #[arg(long, env = "HEADROOM_TOKEN", hide_env_values = true, value_parser = parse_token)]
    token: Option<Token>,
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
        let client = reqwest::Client::builder()
            .timeout(TIMEOUT)
            .no_proxy() // the server is named by its address; a proxy meant for the internet is not on the way
            .build()
            .map_err(|error| unreachable(root_cause(&error)))?;
        let mut request = client.request(method, url);
        if let Some(token) = &self.token {
            request = request.bearer_auth(token.reveal());
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await.map_err(|error| unreachable(root_cause(&error)))?;
        let status = response.status();
        let answer: Value = response
            .json()
            .await
            .map_err(|error| unreachable(format!("it answered {status} and no JSON ({})", root_cause(&error))))?;
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
}

/// The innermost reason, such as `connection refused`: the layers above say only that there was one.
fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

//! The browsers of `cargo xtask bench web`. It starts the application that its arguments name, and is a subject like any
//! other: an operation is a request over HTTP, on connections that stay open.

mod application;

use application::Application;
use harness::{Data, Failure, Orders, Result, Subject, app, serve};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Bytes;
use hyper::header::{COOKIE, HeaderValue, SET_COOKIE};
use hyper::{HeaderMap, Method, Request, StatusCode};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

struct Browsers {
    client: Client<HttpConnector, Empty<Bytes>>,
    application: Application,
}

#[tokio::main]
async fn main() -> Result<()> {
    let application = Application::start(std::env::args_os().skip(1), &Orders::from_env()?).await?;
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let client = Client::builder(TokioExecutor::new()).build(connector);
    let settings = application.settings.clone();
    serve(Browsers { client, application }, &settings).await
}

/// The cookies that an answer sets, as a browser sends them back; `None` for none.
fn cookies(headers: &HeaderMap) -> Option<HeaderValue> {
    let pairs =
        headers.get_all(SET_COOKIE).iter().filter_map(|cookie| cookie.to_str().ok()?.split(';').next());
    let pairs: Vec<&str> = pairs.collect();
    HeaderValue::from_str(&pairs.join("; ")).ok().filter(|_| !pairs.is_empty())
}

impl Browsers {
    async fn ask(
        &self,
        method: Method,
        path: &str,
        cookie: Option<&HeaderValue>,
    ) -> Result<(HeaderMap, Bytes)> {
        let uri = format!("http://127.0.0.1:{}{path}", self.application.port);
        let mut request = Request::builder().method(method).uri(uri).body(Empty::new())?;
        if let Some(cookie) = cookie {
            request.headers_mut().insert(COOKIE, cookie.clone());
        }
        let response = self.client.request(request).await?;
        let (status, headers) = (response.status(), response.headers().clone());
        let body = response.into_body().collect().await?.to_bytes();
        if status != StatusCode::OK {
            return Err(format!("{path} was answered with {status}").into());
        }
        Ok((headers, body))
    }
}

impl Subject for Browsers {
    const PURGES: bool = false;
    type Id = HeaderValue;
    /// How many bytes a session is to have.
    type Draft = usize;

    fn draft(&self, data: Data) -> usize {
        serde_json::to_string(&data).map_or(0, |text| text.len())
    }

    /// A visitor without a session signs in.
    async fn create(&self, bytes: &mut usize, _: bool) -> Result<HeaderValue> {
        let (headers, _) = self.ask(Method::POST, &format!("/sign-in/{bytes}"), None).await?;
        cookies(&headers).ok_or_else(|| Failure::from("a sign-in was answered without a cookie"))
    }

    async fn load(&self, cookie: &HeaderValue) -> Result<bool> {
        let (_, page) = self.ask(Method::GET, "/", Some(cookie)).await?;
        Ok(page == app::GREETING)
    }

    async fn save(&self, cookie: &HeaderValue, _: &mut usize) -> Result<()> {
        let (_, visits) = self.ask(Method::POST, "/change", Some(cookie)).await?;
        let visits: u64 = std::str::from_utf8(&visits)?.trim().parse()?;
        if visits == 0 { Err("a visit was not counted".into()) } else { Ok(()) }
    }

    async fn touch(&self, cookie: &HeaderValue, _: &mut usize) -> Result<()> {
        self.load(cookie).await.map(drop)
    }

    /// Sessions that a run has made stay until its end: the application has no page that ends one.
    async fn destroy(&self, _: &HeaderValue) -> Result<()> {
        Ok(())
    }

    async fn purge(&self) -> Result<()> {
        Ok(())
    }

    /// Each session is looked at once, as by a visitor's first page.
    async fn settle(&self, cookie: &HeaderValue) -> Result<()> {
        if self.load(cookie).await? { Ok(()) } else { Err("a visitor who signed in is a stranger".into()) }
    }

    fn server_cpu_seconds(&self) -> Option<f64> {
        Some(self.application.cpu_seconds())
    }
}

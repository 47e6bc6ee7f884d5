//! A browser as small as can be: HTTP/1.1 to 127.0.0.1, and one cookie.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::twin::Twin;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// One person's browser. All applications are one site to it: 127.0.0.1.
#[derive(Clone, Debug, Default)]
pub(super) struct Browser {
    /// `name=value`.
    cookie: Option<String>,
}

/// What an application answered.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Value,
    /// The `Set-Cookie` header.
    pub(super) cookie: Option<String>,
}

impl Browser {
    pub(super) fn get(&mut self, twin: &Twin, path: &str) -> Result<Answer> {
        self.ask("GET", twin, path)
    }

    pub(super) fn post(&mut self, twin: &Twin, path: &str) -> Result<Answer> {
        self.ask("POST", twin, path)
    }

    /// A browser with the same id, signed by somebody who does not know the secret.
    pub(super) fn forged(&self) -> Self {
        let swap = |cookie: &String| {
            let (rest, signature) = cookie.rsplit_once('.')?;
            let other: String = signature.chars().rev().collect();
            Some(format!("{rest}.{other}"))
        };
        Self { cookie: self.cookie.as_ref().and_then(swap) }
    }

    fn ask(&mut self, method: &str, twin: &Twin, path: &str) -> Result<Answer> {
        let answer = self
            .exchange(method, &twin.address, path)
            .with_context(|| format!("{}: {method} {path}", twin.name()))?;
        if let Some(cookie) = &answer.cookie {
            self.cookie = cookie.split(';').next().map(str::to_owned);
        }
        Ok(answer)
    }

    fn exchange(&self, method: &str, address: &str, path: &str) -> Result<Answer> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let cookie = self.cookie.as_ref().map(|cookie| format!("Cookie: {cookie}\r\n")).unwrap_or_default();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {address}\r\n{cookie}Content-Length: 0\r\nConnection: close\r\n\r\n"
        );
        stream.write_all(request.as_bytes())?;
        let mut response = Vec::new();
        stream.read_to_end(&mut response)?;
        parse(&String::from_utf8(response)?)
    }
}

fn parse(response: &str) -> Result<Answer> {
    let (head, body) = response.split_once("\r\n\r\n").context("no end of the headers")?;
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).context("no status")?.parse()?;
    let header = |name: &str| {
        let mut headers = lines.clone().filter_map(|line| line.split_once(": "));
        headers.find_map(|(key, value)| key.eq_ignore_ascii_case(name).then(|| value.to_owned()))
    };
    if header("Transfer-Encoding").is_some() {
        bail!("an answer in pieces, which this browser does not read");
    }
    // An error page is no JSON, and its status says enough.
    Ok(Answer { status, body: serde_json::from_str(body).unwrap_or_default(), cookie: header("Set-Cookie") })
}

/// Percent-encodes a value for a query.
pub(super) fn encode(value: &str) -> String {
    value.bytes().fold(String::new(), |mut encoded, byte| {
        if byte.is_ascii_alphanumeric() {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
        encoded
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read() {
        let text = "HTTP/1.1 401 Unauthorized\r\nset-cookie: sid=1; Path=/\r\n\r\n{\"user\":null}";
        let answer = parse(text).expect("an answer");
        assert_eq!((answer.status, answer.cookie.as_deref()), (401, Some("sid=1; Path=/")));
        assert_eq!(answer.body["user"], Value::Null);
    }

    #[test]
    fn a_forged_cookie_differs_in_its_signature_alone() {
        let browser = Browser { cookie: Some("sid=s%3Aa.b.cd".to_owned()) };
        assert_eq!(browser.forged().cookie.as_deref(), Some("sid=s%3Aa.b.dc"));
    }

    #[test]
    fn a_value_is_encoded_byte_by_byte() {
        assert_eq!(encode("a é%\n"), "a%20%C3%A9%25%0A");
    }
}

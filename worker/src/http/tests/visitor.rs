//! A person with a browser, as far as cookies and forms go.

use almanac_base::percent::encode;

use super::*;

/// A browser that visits a server under one host name.
pub(super) struct Visitor<'a> {
    pub(super) server: &'a Server,
    pub(super) host: &'static str,
    /// The cookies that the browser keeps.
    pub(super) cookies: BTreeMap<String, String>,
    /// More headers of each request.
    pub(super) headers: String,
}

impl<'a> Visitor<'a> {
    /// A browser that gets to the server through a proxy with TLS.
    pub(super) fn new(server: &'a Server) -> Self {
        Self {
            server,
            host: "almanac.example",
            cookies: BTreeMap::new(),
            headers: String::new(),
        }
    }

    /// The same cookies at another worker.
    pub(super) fn at<'b>(&self, server: &'b Server) -> Visitor<'b> {
        Visitor {
            server,
            host: self.host,
            cookies: self.cookies.clone(),
            headers: self.headers.clone(),
        }
    }

    fn head(&self) -> String {
        let cookies = self
            .cookies
            .iter()
            .map(|(name, value)| format!("{name}={value}"));
        let cookies = cookies.collect::<Vec<_>>().join("; ");
        let lines = [
            format!("host: {}", self.host),
            "accept: text/html,*/*".to_owned(),
            format!("cookie: {cookies}"),
            self.headers.clone(),
        ];
        let lines = lines
            .iter()
            .filter(|line| !line.is_empty() && *line != "cookie: ");
        lines.map(String::as_str).collect::<Vec<_>>().join("\r\n")
    }

    fn keep(&mut self, answer: &Answer) {
        for cookie in &answer.cookies {
            let (pair, attributes) = cookie.split_once("; ").unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            assert!(attributes.contains("HttpOnly"), "{cookie}");
            assert!(attributes.contains("Path=/"), "{cookie}");
            assert_eq!(
                attributes.contains("Secure"),
                self.host != "localhost",
                "{cookie}"
            );
            assert_eq!(name.starts_with("__Host-"), self.host != "localhost");
            if attributes.contains("Max-Age=0") {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
    }

    pub(super) async fn get(&mut self, path: &str) -> Answer {
        let answer = self.server.ask("GET", path, &self.head()).await;
        self.keep(&answer);
        answer
    }

    /// Sends a form without the hidden fields of a page.
    pub(super) async fn send(&mut self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let pairs = fields
            .iter()
            .map(|(name, value)| format!("{name}={}", encode(value)));
        let body = pairs.collect::<Vec<_>>().join("&");
        let head = format!(
            "{}\r\ncontent-type: application/x-www-form-urlencoded\r\ncontent-length: {}",
            self.head(),
            body.len()
        );
        let answer = self.server.ask_with("POST", path, &head, &body).await;
        self.keep(&answer);
        answer
    }

    /// Opens a page and sends its form, with these fields and the hidden ones.
    pub(super) async fn submit(
        &mut self,
        page: &str,
        path: &str,
        fields: &[(&str, &str)],
    ) -> Answer {
        let page = self.get(page).await;
        assert_eq!(page.status, 200, "{}", page.body);
        let hidden = hidden(&page.body);
        let hidden = hidden.iter().map(|(name, value)| (*name, value.as_str()));
        let all: Vec<_> = hidden.chain(fields.iter().copied()).collect();
        self.send(path, &all).await
    }

    /// Logs in anew, which must succeed.
    pub(super) async fn log_in(&mut self, token: &str) {
        self.cookies.retain(|name, _| !name.ends_with("-session"));
        let answer = self.submit("/login", "/login", &[("token", token)]).await;
        assert_eq!(answer.status, 303, "{}", answer.body);
    }
}

/// The hidden fields that each form of a page has.
pub(super) fn hidden(page: &str) -> Vec<(&'static str, String)> {
    ["form_token", "request_id"]
        .into_iter()
        .map(|name| {
            let start = format!("name=\"{name}\" value=\"");
            let (_, rest) = page.split_once(&start).unwrap();
            (name, rest.split('"').next().unwrap().to_owned())
        })
        .collect()
}

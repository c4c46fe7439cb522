//! A server of the files of one folder, for this machine alone.

use anyhow::{Context, Result};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Component, Path, PathBuf};

/// A server that listens.
pub struct Server {
    /// Where it listens.
    listener: TcpListener,
    /// The folder.
    folder: PathBuf,
    /// Its port.
    port: u16,
}

impl Server {
    /// Listens at `port`, or at a free one for 0.
    pub fn open(folder: &Path, port: u16) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))
            .with_context(|| format!("port {port} cannot be used; `--port` names another"))?;
        let port = listener.local_addr()?.port();
        Ok(Self { listener, folder: folder.to_owned(), port })
    }

    /// What to open in a browser.
    pub fn address(&self) -> String {
        format!("http://localhost:{}/", self.port)
    }

    /// Answers requests until the program ends, each on a thread.
    pub fn run(&self) {
        std::thread::scope(|scope| {
            for stream in self.listener.incoming().flatten() {
                // A browser that goes away in the middle of a file is no failure of the server.
                scope.spawn(move || drop(self.answer(&stream)));
            }
        });
    }

    /// Answers the requests of one connection.
    fn answer(&self, mut stream: &TcpStream) -> std::io::Result<()> {
        let mut lines = BufReader::new(stream).lines();
        let Some(first) = lines.next().transpose()? else { return Ok(()) };
        // The rest of the request says nothing that is needed.
        while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
        let found = file(&self.folder, &first).and_then(|path| Some((fs::read(&path).ok()?, path)));
        let (status, kind, body) = match &found {
            Some((body, path)) => ("200 OK", kind(path), body.as_slice()),
            None => ("404 Not Found", "text/plain", &b"not found"[..]),
        };
        write!(
            stream,
            "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nCache-Control: no-store\r\n\
             Connection: close\r\n\r\n",
            body.len()
        )?;
        stream.write_all(body)
    }
}

/// The file that the first line of a request asks for; none outside of the folder.
fn file(folder: &Path, line: &str) -> Option<PathBuf> {
    let path = line.strip_prefix("GET /")?.split([' ', '?', '#']).next()?;
    let path = Path::new(if path.is_empty() { "index.html" } else { path });
    let inside = path.components().all(|part| matches!(part, Component::Normal(_)));
    inside.then(|| folder.join(path))
}

/// The type of a file, without which a browser runs no module and no WebAssembly.
fn kind(path: &Path) -> &'static str {
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("js" | "mjs") => "text/javascript; charset=utf-8",
        Some("wasm") => "application/wasm",
        Some("json") => "application/json",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn only_files_of_the_folder_are_served() {
        let at = |line: &str| file(Path::new("/site"), line);
        assert_eq!(at("GET / HTTP/1.1"), Some("/site/index.html".into()));
        assert_eq!(at("GET /a/b.js?v=1 HTTP/1.1"), Some("/site/a/b.js".into()));
        for bad in
            ["GET /../etc/passwd HTTP/1.1", "GET //etc/passwd HTTP/1.1", "POST / HTTP/1.1", ""]
        {
            assert_eq!(at(bad), None, "{bad}");
        }
    }

    #[test]
    fn files_come_with_their_types() {
        let folder = std::env::temp_dir().join(format!("wgrad-serve-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("x.wasm"), "abc").unwrap();
        let server = Server::open(&folder, 0).unwrap();
        let port = server.port;
        std::thread::spawn(move || server.run());
        let get = |path: &str| {
            let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
            write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
            let mut text = String::new();
            stream.read_to_string(&mut text).unwrap();
            text
        };
        let text = get("/x.wasm");
        assert!(text.starts_with("HTTP/1.1 200") && text.ends_with("\r\n\r\nabc"), "{text}");
        assert!(text.contains("application/wasm"), "{text}");
        assert!(get("/y.wasm").starts_with("HTTP/1.1 404"));
        fs::remove_dir_all(&folder).unwrap();
    }
}

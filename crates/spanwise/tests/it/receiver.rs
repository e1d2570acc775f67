//! A receiver on a port of its own: takes requests or datagrams, and answers as it is told.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream, UdpSocket};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use flate2::read::GzDecoder;

/// Longer than anything here takes.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A request as it arrived, header names in lower case.
#[derive(Clone, Debug)]
pub struct Request {
    pub line: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter().filter(|(own, _)| own == name);
        let found = headers.next().map(|(_, value)| value.as_str());
        assert!(headers.next().is_none(), "{name} was sent twice");
        found
    }

    /// The body, decompressed if need be.
    pub fn content(&self) -> Vec<u8> {
        match self.header("content-encoding") {
            None => self.body.clone(),
            Some("gzip") => {
                let mut content = Vec::new();
                GzDecoder::new(&*self.body).read_to_end(&mut content).unwrap();
                content
            }
            Some(other) => panic!("unexpected encoding {other}"),
        }
    }
}

/// How a request is answered.
#[derive(Clone, Debug)]
pub enum Answer {
    /// A status line's rest, headers, a body.
    Http(&'static str, &'static str, Vec<u8>),
    /// These bytes, whatever they are, and the end of the connection.
    Raw(&'static [u8]),
    /// The end of the connection in the middle of the request.
    Reset,
    /// Nothing, until the receiver is dropped.
    Silence,
}

impl Answer {
    pub fn status(status: &'static str) -> Self {
        Answer::Http(status, "", Vec::new())
    }
}

#[derive(Default)]
struct State {
    requests: Vec<Request>,
    answers: VecDeque<Answer>,
}

/// Speaks HTTP/1.1. Requests beyond the planned answers get a 200.
pub struct Receiver {
    pub address: String,
    shared: Arc<(Mutex<State>, Condvar)>,
}

impl Receiver {
    pub fn start(answers: impl IntoIterator<Item = Answer>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let state = State { answers: answers.into_iter().collect(), ..State::default() };
        let shared = Arc::new((Mutex::new(state), Condvar::new()));
        let inner = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let inner = Arc::clone(&inner);
                thread::spawn(move || serve(stream, &inner));
            }
        });
        Receiver { address, shared }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Waits for this many requests and returns all that came.
    pub fn requests(&self, n: usize) -> Vec<Request> {
        let (state, changed) = &*self.shared;
        let state = state.lock().unwrap();
        let (state, waited) =
            changed.wait_timeout_while(state, PATIENCE, |state| state.requests.len() < n).unwrap();
        assert!(!waited.timed_out(), "{} of {n} requests came", state.requests.len());
        state.requests.clone()
    }
}

fn serve(stream: TcpStream, shared: &(Mutex<State>, Condvar)) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut writer = stream;
    loop {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).ok()? == 0 {
                return None;
            }
            match line.trim_end() {
                "" => break,
                line => lines.push(line.to_owned()),
            }
        }
        let headers = lines[1..].iter().map(|line| line.split_once(": ").unwrap());
        let headers = headers.map(|(name, value)| (name.to_lowercase(), value.to_owned()));
        let mut request =
            Request { line: lines[0].clone(), headers: headers.collect(), body: Vec::new() };
        let length = request.header("content-length").map_or(0, |n| n.parse().unwrap());
        let (state, changed) = shared;
        let answer = state.lock().unwrap().answers.pop_front();
        if !matches!(answer, Some(Answer::Reset)) {
            request.body.resize(length, 0);
            reader.read_exact(&mut request.body).ok()?;
        }
        state.lock().unwrap().requests.push(request);
        changed.notify_all();
        match answer.unwrap_or(Answer::status("200 OK")) {
            Answer::Http(status, headers, body) => {
                let length = body.len();
                let head =
                    format!("HTTP/1.1 {status}\r\n{headers}content-length: {length}\r\n\r\n");
                writer.write_all(&[head.as_bytes(), &body].concat()).ok()?;
            }
            Answer::Raw(bytes) => {
                writer.write_all(bytes).ok()?;
                writer.shutdown(Shutdown::Both).ok()?;
            }
            Answer::Reset => writer.shutdown(Shutdown::Both).ok()?,
            Answer::Silence => thread::park(),
        }
    }
}

/// A socket for datagrams, with its address.
pub fn datagrams() -> (UdpSocket, String) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let address = socket.local_addr().unwrap().to_string();
    (socket, address)
}

pub fn receive(socket: &UdpSocket) -> Vec<u8> {
    let mut datagram = vec![0; 1 << 16];
    let length = socket.recv(&mut datagram).unwrap();
    datagram.truncate(length);
    datagram
}

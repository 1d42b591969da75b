//! The load generator: one thread, one epoll, keep-alive connections that each send the next request as
//! soon as the response arrives. It shares the machine with the measured server, so it does as little as
//! an HTTP client can: it parses only the status and the length.

use rustix::buffer::spare_capacity;
use rustix::event::epoll;
use std::error::Error;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

type Failure = Box<dyn Error + Send + Sync>;

/// Pseudo-random numbers: fast and repeatable rather than of high quality (splitmix64).
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// Dice with the same sequence for the same seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number below `below`.
    pub fn roll(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % below.max(1)
    }
}

/// The requests of a load.
pub trait Plan {
    /// Writes the next request; returns the number of the requested item, for checking the response.
    fn request(&mut self, dice: &mut Dice, out: &mut Vec<u8>) -> u64;

    /// Called with the number of the requested item and its response, before the connection sends the next request.
    fn answered(&mut self, _item: u64, _body: &[u8]) {}
}

/// The results of a load.
#[derive(Clone, Debug, Default)]
pub struct Traffic {
    /// Responses with status 2xx.
    pub good: u64,
    /// Other responses.
    pub bad: u64,
    /// The first response with a status other than 2xx, for the error message.
    pub first_bad: Option<String>,
    /// Time of each response in microseconds, in order of arrival.
    pub latencies: Vec<u32>,
    /// Total bytes of the bodies of all 2xx responses.
    pub bytes: u64,
    /// Samples of the responses: the number of the requested item, and the body.
    pub samples: Vec<(u64, Vec<u8>)>,
    /// Duration.
    pub seconds: f64,
}

/// The body of one response in this many is recorded as a sample for checking.
const SAMPLE: u64 = 997;
/// Most samples.
const SAMPLES: usize = 60;

struct Connection {
    stream: TcpStream,
    out: Vec<u8>,
    sent: usize,
    read: Vec<u8>,
    asked: Instant,
    what: u64,
}

/// Sends requests to `server` over `connections` for this long.
///
/// # Errors
/// A connection fails or ends.
pub fn run(
    server: SocketAddr,
    connections: usize,
    time: Duration,
    seed: u64,
    plan: &mut impl Plan,
) -> Result<Traffic, Failure> {
    let mut dice = Dice::new(seed);
    let poll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let mut open = Vec::with_capacity(connections);
    for number in 0..connections {
        let stream = TcpStream::connect(server)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        let data = epoll::EventData::new_u64(number as u64);
        epoll::add(&poll, &stream, data, epoll::EventFlags::IN)?;
        let (out, read) = (Vec::with_capacity(1024), Vec::with_capacity(64 * 1024));
        open.push(Connection { stream, out, sent: 0, read, asked: Instant::now(), what: 0 });
    }
    let mut traffic = Traffic::default();
    let start = Instant::now();
    let end = start + time;
    for connection in &mut open {
        connection.ask(plan, &mut dice)?;
    }
    let mut events = Vec::with_capacity(connections);
    let mut scratch = vec![0; 256 * 1024];
    let tick = rustix::event::Timespec { tv_sec: 0, tv_nsec: 50_000_000 };
    loop {
        let now = Instant::now();
        if now >= end {
            break;
        }
        events.clear();
        epoll::wait(&poll, spare_capacity(&mut events), Some(&tick))?;
        for event in &events {
            let connection = &mut open[usize::try_from(event.data.u64())?];
            if connection.hear(&mut scratch, &mut traffic, plan)? {
                connection.ask(plan, &mut dice)?;
            }
        }
    }
    traffic.seconds = start.elapsed().as_secs_f64();
    Ok(traffic)
}

impl Connection {
    fn ask(&mut self, plan: &mut impl Plan, dice: &mut Dice) -> Result<(), Failure> {
        self.out.clear();
        self.what = plan.request(dice, &mut self.out);
        self.sent = 0;
        self.asked = Instant::now();
        // The measured requests are small enough for the socket's send buffer, so this loop rarely waits.
        while self.sent < self.out.len() {
            match self.stream.write(&self.out[self.sent..]) {
                Ok(0) => return Err("the server closed a connection".into()),
                Ok(count) => self.sent += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::yield_now(),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Reads available bytes; returns whether the response is complete.
    fn hear(
        &mut self,
        scratch: &mut [u8],
        traffic: &mut Traffic,
        plan: &mut impl Plan,
    ) -> Result<bool, Failure> {
        let count = match self.stream.read(scratch) {
            Ok(0) => return Err("the server closed a connection".into()),
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        // Most responses arrive in one piece, and need no copy.
        if self.read.is_empty()
            && let Some(answer) = Answer::read(&scratch[..count])?
        {
            self.take(&answer, traffic, plan);
            return Ok(true);
        }
        self.read.extend_from_slice(&scratch[..count]);
        let read = std::mem::take(&mut self.read);
        let whole = Answer::read(&read)?;
        if let Some(answer) = &whole {
            self.take(answer, traffic, plan);
        }
        let is_whole = whole.is_some();
        self.read = read;
        if is_whole {
            self.read.clear();
        }
        Ok(is_whole)
    }

    fn take(&self, answer: &Answer<'_>, traffic: &mut Traffic, plan: &mut impl Plan) {
        let micros = self.asked.elapsed().as_micros();
        traffic.latencies.push(u32::try_from(micros).unwrap_or(u32::MAX));
        if (200..300).contains(&answer.status) {
            if traffic.good.is_multiple_of(SAMPLE) && traffic.samples.len() < SAMPLES {
                traffic.samples.push((self.what, answer.body.to_vec()));
            }
            traffic.good += 1;
            traffic.bytes += answer.body.len() as u64;
        } else {
            traffic.bad += 1;
            traffic.first_bad.get_or_insert_with(|| {
                format!("{}: {}", answer.status, String::from_utf8_lossy(answer.body))
            });
        }
        plan.answered(self.what, answer.body);
    }
}

/// A complete response.
struct Answer<'b> {
    status: u16,
    body: &'b [u8],
}

impl<'b> Answer<'b> {
    /// Parses the response in `bytes`, if it is complete.
    fn read(bytes: &'b [u8]) -> Result<Option<Self>, Failure> {
        let Some(head) = find(bytes, b"\r\n\r\n") else { return Ok(None) };
        let headers = &bytes[..head];
        let length = match find(headers, b"content-length: ") {
            Some(at) => {
                let digits = headers[at + 16..].iter().take_while(|byte| byte.is_ascii_digit());
                digits.fold(0, |sum, digit| sum * 10 + usize::from(digit - b'0'))
            }
            None => return Err("an answer without a length".into()),
        };
        let status = std::str::from_utf8(headers.get(9..12).ok_or("no status")?)?.parse()?;
        Ok(bytes.get(head + 4..head + 4 + length).map(|body| Self { status, body }))
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    let first = *what.first()?;
    let mut at = 0;
    while let Some(step) = bytes.get(at..)?.iter().position(|byte| *byte == first) {
        at += step;
        if bytes[at..].starts_with(what) {
            return Some(at);
        }
        at += 1;
    }
    None
}

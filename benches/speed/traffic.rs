//! The load generator: one thread, one epoll, keep-alive connections that each ask again as soon
//! as they are answered. It shares the machine with what it measures, so it does as little as an
//! HTTP client can: no parsing beyond the status and the length.

use rustix::buffer::spare_capacity;
use rustix::event::epoll;
use std::error::Error;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

type Failure = Box<dyn Error + Send + Sync>;

/// Random numbers that need not be good, but quick and repeatable (splitmix64).
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// Dice that fall the same for the same seed.
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

/// What is asked.
pub trait Plan {
    /// Writes the next request; the number that the asked thing has, for who checks the answer.
    fn request(&mut self, dice: &mut Dice, out: &mut Vec<u8>) -> u64;

    /// Hears of the answer before the connection asks again.
    fn answered(&mut self, _body: &[u8]) {}
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Traffic {
    /// Answers with a status of 2xx.
    pub good: u64,
    /// Others.
    pub bad: u64,
    /// The first of those, for the message.
    pub first_bad: Option<String>,
    /// Time of each answer in microseconds, in order of arrival.
    pub latencies: Vec<u32>,
    /// Bytes of the bodies of all good answers.
    pub bytes: u64,
    /// Some of the answers: what was asked, and the body.
    pub samples: Vec<(u64, Vec<u8>)>,
    /// How long it took.
    pub seconds: f64,
}

/// One answer in so many is kept to be checked.
const SAMPLE: u64 = 997;
/// At most so many.
const SAMPLES: usize = 60;

struct Connection {
    stream: TcpStream,
    out: Vec<u8>,
    sent: usize,
    read: Vec<u8>,
    asked: Instant,
    what: u64,
}

/// Asks `server` over `connections` for so long.
///
/// # Errors
/// A connection that cannot be made or ends.
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
        // What is asked fits a socket's buffer: the measured postings are small.
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

    /// Reads what there is; whether the answer is whole.
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
        // Most answers come whole in one piece, and need no copy.
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
        plan.answered(answer.body);
    }
}

/// One whole answer.
struct Answer<'b> {
    status: u16,
    body: &'b [u8],
}

impl<'b> Answer<'b> {
    /// The answer in `bytes`, if all of it is there.
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

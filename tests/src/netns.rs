//! Network namespaces whose wires lie in the test's hands: each place has a TUN device, and the packets between them
//! pass through this process, which may drop, delay or hold them in one direction.
//!
//! ```text
//! place 0 (10.X.Y.1) --tun--+
//! place 1 (10.X.Y.2) --tun--+-- Network: cut, delay, lose -- tun -- the test itself (10.X.Y.254)
//! place 2 (10.X.Y.3) --tun--+
//! ```
//!
//! It needs root and /dev/net/tun, but no traffic control of the kernel.

use std::collections::{BTreeMap, BinaryHeap};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::process::Ran;

/// The last byte of the test's own address.
const TEST: u8 = 254;
/// How often a wire's thread looks whether it shall end.
const LOOK_EVERY: u16 = 200;
/// Largest packet that a TUN device hands out; its MTU is 1500.
const PACKET_MAX: usize = 2048;

/// What happens to packets of one direction between two places.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Fate {
    cut: bool,
    /// Each packet waits between these, in order.
    delay: (Duration, Duration),
    /// Packets of a hundred that are lost.
    loss: u64,
}

/// A packet that waits; the earliest is the greatest.
struct Held {
    due: Instant,
    number: u64,
    to: u8,
    packet: Vec<u8>,
}

impl PartialEq for Held {
    fn eq(&self, other: &Held) -> bool {
        self.number == other.number
    }
}
impl Eq for Held {}
impl PartialOrd for Held {
    fn partial_cmp(&self, other: &Held) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Held {
    fn cmp(&self, other: &Held) -> std::cmp::Ordering {
        (other.due, other.number).cmp(&(self.due, self.number))
    }
}

#[derive(Default)]
struct State {
    fates: BTreeMap<(u8, u8), Fate>,
    held: BinaryHeap<Held>,
    /// When the last packet of a direction is due, so that none overtakes another.
    last_due: BTreeMap<(u8, u8), Instant>,
    dice: u64,
    numbers: u64,
    dropped: u64,
    ended: bool,
}

impl State {
    fn roll(&mut self, below: u64) -> u64 {
        self.dice = self.dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.dice >> 33) % below.max(1)
    }

    /// When a packet shall go on; never, if it is lost.
    fn due(&mut self, way: (u8, u8), now: Instant) -> Option<Instant> {
        let fate = self.fates.get(&way).copied().unwrap_or_default();
        if fate.cut || self.roll(100) < fate.loss {
            self.dropped += 1;
            return None;
        }
        let (least, most) = fate.delay;
        let wait = least + Duration::from_micros(self.roll((most - least).as_micros() as u64 + 1));
        let due = self.last_due.get(&way).copied().unwrap_or(now).max(now + wait);
        self.last_due.insert(way, due);
        Some(due)
    }
}

struct Wires {
    /// By the last byte of the address.
    devices: BTreeMap<u8, File>,
    state: Mutex<State>,
    news: Condvar,
}

/// The namespaces of one group and what connects them. They go with this.
pub struct Network {
    net: String,
    namespaces: Vec<String>,
    wires: Arc<Wires>,
    threads: Vec<std::thread::JoinHandle<()>>,
}

fn ip(args: &[&str]) {
    Ran::run(Command::new("ip").args(args)).ok();
}

/// A TUN device that belongs to this process; it is made in the root namespace.
fn open_tun(name: &str) -> File {
    /// linux/if_tun.h: TUNSETIFF, IFF_TUN and IFF_NO_PI.
    const SET_INTERFACE: libc::c_ulong = 0x4004_54ca;
    const TUN_WITHOUT_HEADER: u16 = 0x0001 | 0x1000;
    let device = File::options().read(true).write(true).custom_flags(libc::O_NONBLOCK).open("/dev/net/tun");
    let device = device.unwrap_or_else(|error| panic!("/dev/net/tun: {error}; this test needs root"));
    let mut request = [0_u8; 40];
    request[..name.len()].copy_from_slice(name.as_bytes());
    request[16..18].copy_from_slice(&TUN_WITHOUT_HEADER.to_ne_bytes());
    // SAFETY: the request is an ifreq, 40 bytes that begin with a name of at most 15 bytes, and outlives the call.
    let made = unsafe { libc::ioctl(device.as_raw_fd(), SET_INTERFACE, request.as_mut_ptr()) };
    assert_eq!(made, 0, "TUN device {name}: {}", std::io::Error::last_os_error());
    device
}

/// A net 10.X.Y that nobody on this machine has a route to.
fn draw_net(seed: u32) -> String {
    (seed..seed + 5000)
        .map(|number| format!("10.{}.{}", 70 + number / 250 % 180, number % 250))
        .find(|net| Ran::run(Command::new("ip").args(["route", "show", &format!("{net}.0/24")])).ok().is_empty())
        .expect("a free net")
}

/// Removes what tests that were killed left behind.
fn clear_dead() {
    let names = Ran::run(Command::new("ip").args(["netns", "list"])).ok();
    for name in names.lines().filter_map(|line| line.split(' ').next()) {
        let owner = name.strip_prefix("raftsman-").and_then(|rest| rest.split('-').next());
        if let Some(pid) = owner.and_then(|pid| pid.parse::<u32>().ok())
            && !Path::new(&format!("/proc/{pid}")).exists()
        {
            // Another test may clear it at the same moment.
            drop(Ran::run(Command::new("ip").args(["netns", "delete", name])));
        }
    }
}

impl Network {
    /// Namespaces for `count` places and one more.
    pub fn new(count: usize) -> Network {
        static NETWORKS: AtomicU32 = AtomicU32::new(0);
        let (pid, number) = (std::process::id(), NETWORKS.fetch_add(1, Ordering::Relaxed));
        clear_dead();
        let net = draw_net(pid.wrapping_mul(7).wrapping_add(number) % 40_000);
        let mut devices = BTreeMap::new();
        let mut namespaces = Vec::new();
        for place in (1..=count as u8 + 1).chain([TEST]) {
            let device = format!("rm{pid:x}n{number:x}p{place:x}");
            devices.insert(place, open_tun(&device));
            let address = format!("{net}.{place}/24");
            if place == TEST {
                ip(&["address", "add", &address, "dev", &device]);
                ip(&["link", "set", &device, "up"]);
                continue;
            }
            let namespace = format!("raftsman-{pid}-{number}-{place}");
            ip(&["netns", "add", &namespace]);
            ip(&["link", "set", &device, "netns", &namespace]);
            ip(&["-n", &namespace, "address", "add", &address, "dev", &device]);
            ip(&["-n", &namespace, "link", "set", &device, "up"]);
            ip(&["-n", &namespace, "link", "set", "lo", "up"]);
            namespaces.push(namespace);
        }
        let state = Mutex::new(State { dice: u64::from(pid) << 8 | u64::from(number), ..Default::default() });
        let wires = Arc::new(Wires { devices, state, news: Condvar::new() });
        let mut threads: Vec<_> = wires.devices.keys().map(|place| wires.carry_from(*place)).collect();
        threads.push(wires.deliver_late());
        Network { net, namespaces, wires, threads }
    }

    /// The first three numbers of all addresses.
    pub fn net(&self) -> &str {
        &self.net
    }

    /// The address of a place.
    pub fn host(&self, place: usize) -> String {
        format!("{}.{}", self.net, place + 1)
    }

    /// A program that will run at a place.
    pub fn command(&self, place: usize, program: &Path) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.namespaces[place]]).arg(program);
        command
    }

    fn set(&self, ways: impl IntoIterator<Item = (u8, u8)>, change: impl Fn(&mut Fate)) {
        let mut state = self.wires.state.lock().expect("no thread panics with it");
        ways.into_iter().for_each(|way| change(state.fates.entry(way).or_default()));
    }

    /// Cuts the wire between two places.
    pub fn cut(&self, one: usize, other: usize) {
        self.cut_one_way(one, other);
        self.cut_one_way(other, one);
    }

    /// Loses whatever `from` sends to `to`.
    pub fn cut_one_way(&self, from: usize, to: usize) {
        self.set([(from as u8 + 1, to as u8 + 1)], |fate| fate.cut = true);
    }

    /// Cuts a place off from all other places; the test still reaches it.
    pub fn isolate(&self, place: usize) {
        (0..self.namespaces.len()).filter(|other| *other != place).for_each(|other| self.cut(place, other));
    }

    /// Cuts a place off from everything.
    pub fn cut_off(&self, place: usize) {
        self.isolate(place);
        let place = place as u8 + 1;
        self.set([(place, TEST), (TEST, place)], |fate| fate.cut = true);
    }

    /// Makes every packet between places wait between `least` and `most`.
    pub fn delay(&self, least: Duration, most: Duration) {
        self.set(self.ways(), |fate| fate.delay = (least, most.max(least)));
    }

    /// Loses so many of a hundred packets between places.
    pub fn lose(&self, percent: u64) {
        self.set(self.ways(), |fate| fate.loss = percent);
    }

    /// Everything flows again.
    pub fn heal(&self) {
        self.wires.state.lock().expect("no thread panics with it").fates.clear();
    }

    /// Packets dropped so far, so that a test sees that its cut cut something.
    pub fn dropped(&self) -> u64 {
        self.wires.state.lock().expect("no thread panics with it").dropped
    }

    fn ways(&self) -> Vec<(u8, u8)> {
        let places = 1..=self.namespaces.len() as u8;
        places.clone().flat_map(|from| places.clone().map(move |to| (from, to))).collect()
    }
}

impl Wires {
    /// Carries what one place sends.
    fn carry_from(self: &Arc<Wires>, from: u8) -> std::thread::JoinHandle<()> {
        let wires = self.clone();
        std::thread::spawn(move || {
            let mut buffer = [0_u8; PACKET_MAX];
            while !wires.state.lock().expect("no thread panics with it").ended {
                let mut device = &wires.devices[&from];
                let mut wait = [PollFd::new(device.as_fd(), PollFlags::POLLIN)];
                if poll(&mut wait, PollTimeout::from(LOOK_EVERY)).is_ok_and(|ready| ready == 0) {
                    continue;
                }
                while let Ok(length) = device.read(&mut buffer) {
                    wires.pass(from, &buffer[..length]);
                }
            }
        })
    }

    /// Hands one packet on, now or later. What is no IPv4 for one of the places is dropped, as a switch would.
    fn pass(&self, from: u8, packet: &[u8]) {
        let Some(to) = packet.get(19).copied().filter(|_| packet[0] >> 4 == 4) else { return };
        if !self.devices.contains_key(&to) {
            return;
        }
        let now = Instant::now();
        let mut state = self.state.lock().expect("no thread panics with it");
        match state.due((from, to), now) {
            None => {}
            Some(due) if due <= now => {
                drop(state);
                self.deliver(to, packet);
            }
            Some(due) => {
                state.numbers += 1;
                let number = state.numbers;
                state.held.push(Held { due, number, to, packet: packet.to_vec() });
                self.news.notify_one();
            }
        }
    }

    fn deliver(&self, to: u8, packet: &[u8]) {
        // A full or vanished device loses packets, as wires do.
        let _lost = (&self.devices[&to]).write(packet).is_err();
    }

    fn deliver_late(self: &Arc<Wires>) -> std::thread::JoinHandle<()> {
        let wires = self.clone();
        std::thread::spawn(move || {
            let mut state = wires.state.lock().expect("no thread panics with it");
            while !state.ended {
                let now = Instant::now();
                let wait = match state.held.peek() {
                    Some(first) if first.due <= now => {
                        let first = state.held.pop().expect("it was just there");
                        wires.deliver(first.to, &first.packet);
                        continue;
                    }
                    Some(first) => first.due - now,
                    None => Duration::from_millis(u64::from(LOOK_EVERY)),
                };
                state = wires.news.wait_timeout(state, wait).expect("no thread panics with it").0;
            }
        })
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        self.wires.state.lock().expect("no thread panics with it").ended = true;
        self.wires.news.notify_all();
        self.threads.drain(..).for_each(|thread| drop(thread.join()));
        for namespace in &self.namespaces {
            drop(Ran::run(Command::new("ip").args(["netns", "delete", namespace])));
        }
    }
}

//! The servers under measurement: started, asked for their CPU time and memory, ended.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;

use crate::Result;

pub struct Server {
    pub name: &'static str,
    pub address: SocketAddr,
    child: Child,
    clock: ClockId,
}

/// Bytes that the process alone holds, without what it shares with others through files.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    pub private_dirty: u64,
    pub anonymous: u64,
}

impl Server {
    /// Starts it and waits until `ready` accepts a connection.
    ///
    /// # Errors
    /// It cannot be started, ended at once, or did not listen within 20 s.
    #[expect(clippy::disallowed_methods, reason = "a process that begins to listen is no event for others")]
    pub fn start(name: &'static str, command: &mut Command, address: SocketAddr, ready: SocketAddr) -> Result<Server> {
        let child = command
            .stdin(Stdio::null())
            .spawn()
            .map_err(|e| format!("{name} ({:?}) does not start: {e}", command.get_program()))?;
        let clock = clock_getcpuclockid(Pid::from_raw(i32::try_from(child.id())?))?;
        let mut server = Server { name, address, child, clock };
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            server.check()?;
            match TcpStream::connect(ready) {
                Ok(_) => return Ok(server),
                Err(_) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(20)),
                Err(error) => return Err(format!("{name} does not listen on {ready}: {error}").into()),
            }
        }
    }

    /// CPU time of the whole process so far, user and system, to the nanosecond.
    pub fn cpu(&self) -> Result<Duration> {
        Ok(clock_gettime(self.clock)?.into())
    }

    /// Waits until the operations port says that it is ready.
    ///
    /// # Errors
    /// Not within 20 s; with what it still waits for.
    #[expect(clippy::disallowed_methods, reason = "readiness of another process is no event here")]
    pub fn ready(&self, admin: SocketAddr) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let mut answer = String::new();
            let mut stream = TcpStream::connect(admin)?;
            stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n")?;
            stream.read_to_string(&mut answer)?;
            if answer.starts_with("HTTP/1.1 200") {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(format!("{} is not ready: {answer}", self.name).into());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Catalogs that it has put into force.
    ///
    /// # Errors
    /// The operations port does not answer.
    pub fn applied(&self, admin: SocketAddr) -> Result<u64> {
        let mut answer = String::new();
        let mut stream = TcpStream::connect(admin)?;
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n")?;
        stream.read_to_string(&mut answer)?;
        let value = answer.lines().find_map(|l| l.strip_prefix("bannou_gateway_catalog_applied_total "));
        Ok(value.ok_or("no bannou_gateway_catalog_applied_total")?.trim().parse()?)
    }

    /// # Errors
    /// Not within 20 s.
    #[expect(clippy::disallowed_methods, reason = "a counter of another process is no event here")]
    pub fn until_applied(&self, admin: SocketAddr, count: u64) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(20);
        while self.applied(admin)? < count {
            if Instant::now() > deadline {
                return Err("an edit of the catalog was not followed".into());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// # Errors
    /// `/proc` does not tell.
    pub fn memory(&self) -> Result<Memory> {
        let text = std::fs::read_to_string(format!("/proc/{}/smaps_rollup", self.child.id()))?;
        let field = |name: &str| -> Result<u64> {
            let line =
                text.lines().find(|l| l.starts_with(name)).ok_or_else(|| format!("no {name} in smaps_rollup"))?;
            let kib: u64 = line.split_whitespace().nth(1).ok_or("no figure")?.parse()?;
            Ok(kib * 1024)
        };
        Ok(Memory { private_dirty: field("Private_Dirty:")?, anonymous: field("Anonymous:")? })
    }

    /// # Errors
    /// The process has ended.
    pub fn check(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => Err(format!("{} ended: {status}", self.name).into()),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A server of this very program.
///
/// # Errors
/// As [`Server::start`].
pub fn own(name: &'static str, argument: &str, address: SocketAddr, workers: usize) -> Result<Server> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args([argument, &address.to_string(), &workers.to_string()]);
    Server::start(name, &mut command, address, address)
}

/// CPU seconds that all of the machine has spent so far, ours among them.
///
/// # Errors
/// `/proc` does not tell.
pub fn machine_busy() -> Result<f64> {
    let text = std::fs::read_to_string("/proc/stat")?;
    let line = text.lines().next().ok_or("no line in /proc/stat")?;
    let ticks: Vec<f64> = line.split_whitespace().skip(1).map(str::parse).collect::<Result<_, _>>()?;
    // user, nice, system, irq, softirq; not idle, iowait, steal. A tick is 10 ms in this file whatever the kernel's own is.
    Ok([0, 1, 2, 5, 6].iter().filter_map(|&i| ticks.get(i)).sum::<f64>() / 100.0)
}

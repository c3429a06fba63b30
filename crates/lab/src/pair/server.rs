//! Owns the server of the pair: answers what is said, reads what is asked and does not answer it.

use std::{
    io::{self, BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    sync::{Mutex, PoisonError},
    thread,
};

use super::{Role, anywhere, end_in_words, message, parse, socket};

/// Accepts connections for ever.
pub(super) fn run(role: &Role, out: &mut (impl Write + Send)) -> io::Result<()> {
    let address = anywhere(role.address);
    let socket = socket(address, &role.pair)?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    let listener = TcpListener::from(socket);
    let out = Mutex::new(out);
    let tell = |line: &str| {
        let mut out = out.lock().unwrap_or_else(PoisonError::into_inner);
        writeln!(out, "{line}").and_then(|()| out.flush())
    };
    tell("listening")?;
    thread::scope(|scope| -> io::Result<()> {
        loop {
            let (stream, _) = listener.accept()?;
            tell("accepted")?;
            let tell = &tell;
            scope.spawn(move || {
                let end = serve(&stream, tell);
                // Who cannot be told is gone.
                let _ = tell(&format!("ended: {}", end_in_words(&end)));
                if role.keeps_open && end.is_ok() {
                    // The descriptor stays: CLOSE-WAIT for as long as the program runs.
                    std::mem::forget(stream);
                }
            });
        }
    })
}

/// The usual one; the kernel takes no more than net.core.somaxconn.
const BACKLOG: i32 = 128;

fn serve(mut stream: &TcpStream, tell: &impl Fn(&str) -> io::Result<()>) -> io::Result<()> {
    for line in BufReader::new(stream).lines() {
        let line = line?;
        let Some((verb, number)) = parse(&line) else { continue };
        tell(&format!("read {number}"))?;
        if verb == "say" {
            stream.write_all(&message("got", number))?;
        }
    }
    Ok(())
}

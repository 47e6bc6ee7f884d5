//! A server that sends as many bytes as it is asked for: what crosses the network when a small store is read.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;

/// Serves until the process ends.
pub(crate) fn serve() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            thread::spawn(move || answer(client));
        }
    });
    address
}

/// Answers until the client goes away.
fn answer(mut client: TcpStream) -> io::Result<()> {
    let mut asked = [0; 4];
    loop {
        client.read_exact(&mut asked)?;
        client.write_all(&vec![b'x'; usize::try_from(u32::from_le_bytes(asked)).unwrap()])?;
    }
}

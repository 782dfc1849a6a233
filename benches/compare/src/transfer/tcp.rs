//! Raw TCP: nothing is enciphered, checked or kept in order to go on later.

use std::path::Path;

use tokio::fs::File;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::PIECE;
use crate::child::{Clock, Result, Taken};

pub(super) async fn transfer(source: &Path, into: Option<&Path>) -> Result<Taken> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let (source, on_disk) = (source.to_owned(), into.is_some());
    let bytes = std::fs::metadata(&source)?.len();
    let clock = Clock::start();
    let sender = tokio::spawn(async move {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        send(stream, &source, bytes, on_disk).await
    });
    let (stream, _) = listener.accept().await?;
    let received = receive(stream, into.map(|into| into.join("received")).as_deref()).await?;
    sender.await??;
    let taken = clock.stop();
    if received == bytes { Ok(taken) } else { Err(format!("{received} of {bytes} bytes came").into()) }
}

/// Sends so many bytes, from the file or just from memory, in pieces, and ends the stream.
pub(super) async fn send<S: AsyncWrite + Unpin>(
    mut stream: S,
    source: &Path,
    bytes: u64,
    from_file: bool,
) -> Result<()> {
    let mut piece = vec![0x5a; PIECE];
    if from_file {
        let mut file = File::open(source).await?;
        file.set_max_buf_size(1 << 20);
        loop {
            match file.read(&mut piece).await? {
                0 => break,
                n => stream.write_all(&piece[..n]).await?,
            }
        }
    } else {
        let mut left = bytes;
        while left > 0 {
            let n = left.min(PIECE as u64);
            stream.write_all(&piece[..n as usize]).await?;
            left -= n;
        }
    }
    stream.shutdown().await?;
    Ok(())
}

/// Takes what comes until the end, into a file that is synced, or nowhere; how many bytes that were.
pub(super) async fn receive<S: AsyncRead + Unpin>(mut stream: S, into: Option<&Path>) -> Result<u64> {
    let mut piece = vec![0; PIECE];
    let mut received = 0;
    let mut file = match into {
        Some(into) => Some(File::create(into).await?),
        None => None,
    };
    if let Some(file) = &mut file {
        file.set_max_buf_size(1 << 20);
    }
    loop {
        match stream.read(&mut piece).await? {
            0 => break,
            n => {
                received += n as u64;
                if let Some(file) = &mut file {
                    file.write_all(&piece[..n]).await?;
                }
            }
        }
    }
    if let Some(mut file) = file {
        file.flush().await?;
        file.sync_all().await?;
    }
    Ok(received)
}

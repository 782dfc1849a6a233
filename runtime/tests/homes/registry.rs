//! A bootstrap server, as small as one can be: it passes on what it was told and says where that came from.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use data_encoding::BASE64;
use serde_json::{Value, json};

/// Records and where they came from, by their first 40 bytes: network and subject.
type Records = Arc<Mutex<BTreeMap<Vec<u8>, (String, IpAddr)>>>;

/// Serves until the process is killed.
pub(crate) fn serve(address: SocketAddr) -> ! {
    let listener = TcpListener::bind(address).expect("the address is this host's");
    let records = Records::default();
    loop {
        if let Ok((stream, source)) = listener.accept() {
            let records = Arc::clone(&records);
            std::thread::spawn(move || answer(stream, source, &records));
        }
    }
}

/// One request, one answer.
fn answer(stream: TcpStream, source: SocketAddr, records: &Records) -> Option<()> {
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    let mut reader = BufReader::new(&stream);
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let line = line.trim().to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let request: Value = serde_json::from_slice(&body).ok()?;
    let record = request["record"].as_str()?;
    let whose = BASE64.decode(record.as_bytes()).ok()?.get(..40)?.to_vec();
    let mut held = records.lock().ok()?;
    held.insert(whose.clone(), (record.to_owned(), source.ip()));
    let others = held.iter().filter(|(subject, _)| **subject != whose);
    let told =
        |(_, (record, from)): (_, &(String, IpAddr))| json!({"record": record, "age_secs": 0, "from": from});
    let answer = json!({"records": others.map(told).collect::<Vec<_>>(), "observed": source}).to_string();
    let head =
        format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n", answer.len());
    (&stream).write_all(format!("{head}connection: close\r\n\r\n{answer}").as_bytes()).ok()
}

//! iroh-blobs over QUIC: each chunk is enciphered and checked. In memory it keeps the blob in a `MemStore` on both sides,
//! on a disk in an `FsStore`, from which it is exported by moving it.

use std::path::Path;
use std::str::FromStr;

use iroh::address_lookup::memory::MemoryLookup;
use iroh::endpoint::presets;
use iroh::protocol::Router;
use iroh::{Endpoint, RelayMode};
use iroh_blobs::api::Store;
use iroh_blobs::api::blobs::{AddPathOptions, ExportMode, ExportOptions, ImportMode};
use iroh_blobs::store::fs::FsStore;
use iroh_blobs::store::mem::MemStore;
use iroh_blobs::{BlobFormat, BlobsProtocol, Hash};

use crate::child::{Clock, Result, Taken};

pub(super) async fn transfer(source: &Path, into: Option<&Path>, room: &Path, hash: &str) -> Result<Taken> {
    let lookup = MemoryLookup::new();
    let hash = Hash::from_str(hash).map_err(|error| error.to_string())?;
    let (from, to): (Store, Store) = match into {
        None => (MemStore::new().into(), MemStore::new().into()),
        Some(_) => (
            FsStore::load(room.join("from")).await.map_err(|error| error.to_string())?.into(),
            FsStore::load(room.join("to")).await.map_err(|error| error.to_string())?.into(),
        ),
    };
    let add = AddPathOptions {
        path: std::path::absolute(source)?,
        format: BlobFormat::Raw,
        mode: ImportMode::TryReference,
    };
    let tag = from.blobs().add_path_with_opts(add).await.map_err(|error| error.to_string())?;
    if tag.hash != hash {
        return Err("iroh-blobs has another hash for it".into());
    }
    let sender = endpoint(lookup.clone()).await?;
    let _router =
        Router::builder(sender.clone()).accept(iroh_blobs::ALPN, BlobsProtocol::new(&from, None)).spawn();
    let receiver = endpoint(lookup.clone()).await?;
    lookup.add_endpoint_info(sender.addr());
    let clock = Clock::start();
    let downloader = iroh_blobs::api::downloader::Downloader::builder(&to, &receiver).build();
    downloader.download(hash, Some(sender.id())).await.map_err(|error| error.to_string())?;
    if let Some(into) = into {
        let target = std::path::absolute(into)?.join("received");
        let export = ExportOptions { hash, mode: ExportMode::TryReference, target: target.clone() };
        to.blobs().export_with_opts(export).await.map_err(|error| error.to_string())?;
        std::fs::File::open(target)?.sync_all()?;
    }
    Ok(clock.stop())
}

/// An endpoint on loopback that asks nobody for anything.
pub(crate) async fn endpoint(lookup: MemoryLookup) -> Result<Endpoint> {
    Endpoint::builder(presets::Minimal)
        .relay_mode(RelayMode::Disabled)
        .clear_address_lookup()
        .address_lookup(lookup)
        .clear_ip_transports()
        .bind_addr("127.0.0.1:0")
        .map_err(|error| error.to_string())?
        .bind()
        .await
        .map_err(|error| error.to_string().into())
}

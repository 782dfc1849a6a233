//! Contents that are here already.

use std::fs;
use std::path::PathBuf;

use p2pnet_engine::ContentHasher;

use super::*;

/// Bytes that differ from block to block.
fn bytes(length: usize) -> Vec<u8> {
    (0..length).map(|i| (i as u32).wrapping_mul(2_654_435_761).to_le_bytes()[3]).collect()
}

/// A data directory and an inbox that outlast their stores.
struct Place {
    dir: tempfile::TempDir,
    inbox: tempfile::TempDir,
}

impl Place {
    fn new() -> Place {
        Place { dir: tempfile::tempdir().unwrap(), inbox: tempfile::tempdir().unwrap() }
    }

    /// A store as a new process would open it.
    fn store(&self) -> DiskStore {
        DiskStore::open(self.dir.path(), Some(self.inbox.path().to_owned())).unwrap()
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.inbox.path()).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// Receives all of `source` from somebody else.
    async fn receive(&self, source: Source) -> (Manifest, PathBuf) {
        let from = DiskStore::temporary(None).unwrap();
        let (manifest, list) = from.publish(source).await.unwrap();
        let (store, content) = (self.store(), manifest.content);
        assert!(store.open(manifest.clone()).await.unwrap().blocks.is_empty());
        store.keep_list(content, list).await;
        for index in 0..content.block_count() {
            let block = BlockRef { content, index };
            store.write(block, from.read(block).await.unwrap()).await.unwrap();
        }
        let path = store.finish(content).await.unwrap();
        (manifest, path)
    }

    fn stored(&self) -> StoredContents {
        StoredContents::open(self.dir.path()).unwrap()
    }
}

fn in_memory(length: usize) -> Source {
    Source::Bytes { name: "film".into(), bytes: bytes(length) }
}

fn all_of(content: ContentId) -> Vec<u32> {
    (0..content.block_count()).collect()
}

#[tokio::test]
async fn what_was_received_is_not_fetched_again_after_a_restart() {
    for length in [0, 1, BLOCK_SIZE, 2 * BLOCK_SIZE + 7] {
        let place = Place::new();
        let (manifest, path) = place.receive(in_memory(length)).await;
        let (store, content) = (place.store(), manifest.content);
        let leftovers = store.open(manifest.clone()).await.unwrap();
        assert_eq!(leftovers.blocks, all_of(content), "{length} bytes");
        assert!(leftovers.list.proves(&content));
        let last = BlockRef { content, index: content.block_count() - 1 };
        let served = store.read(last).await.unwrap();
        assert_eq!(Some(served.len()), content.block_len(last.index));
        assert_eq!(store.finish(content).await.unwrap(), path);
        assert_eq!(store.read(last).await.unwrap(), served);
        assert_eq!(place.names(), ["film"], "one is enough");
    }
}

#[tokio::test]
async fn a_folder_that_was_received_is_not_fetched_again() {
    let source = tempfile::tempdir().unwrap();
    let root = source.path().join("holiday");
    fs::create_dir_all(root.join("empty")).unwrap();
    fs::write(root.join("a.txt"), "a").unwrap();
    let place = Place::new();
    let (manifest, path) = place.receive(Source::Folder(root)).await;
    let store = place.store();
    let leftovers = store.open(manifest.clone()).await.unwrap();
    assert_eq!(leftovers.blocks, all_of(manifest.content));
    assert_eq!(store.finish(manifest.content).await.unwrap(), path);
    assert_eq!(place.names(), ["holiday"]);
    drop(store);
    fs::write(path.join("b.txt"), "one more").unwrap();
    assert!(place.store().open(manifest).await.unwrap().blocks.is_empty(), "it is another folder now");
}

/// A file that was changed is another content, whatever its size and times say.
#[tokio::test]
async fn what_was_changed_or_deleted_is_fetched() {
    let place = Place::new();
    let (manifest, path) = place.receive(in_memory(1000)).await;
    let modified = fs::metadata(&path).unwrap().modified().unwrap();
    let mut changed = bytes(1000);
    changed[500] ^= 1;
    fs::write(&path, &changed).unwrap();
    fs::File::options().write(true).open(&path).unwrap().set_modified(modified).unwrap();
    assert_eq!(place.stored().list().unwrap()[0].state, StoredState::Same, "it looks as it did");
    assert!(place.store().open(manifest.clone()).await.unwrap().blocks.is_empty());
    fs::remove_file(&path).unwrap();
    assert!(place.store().open(manifest).await.unwrap().blocks.is_empty());
}

/// The user chose the inbox: what lies elsewhere is copied there, without the network.
#[tokio::test]
async fn what_is_elsewhere_on_this_disk_is_copied() {
    let place = Place::new();
    let elsewhere = tempfile::tempdir().unwrap();
    let path = elsewhere.path().join("original");
    fs::write(&path, bytes(2 * BLOCK_SIZE + 7)).unwrap();
    let (manifest, _) = place.store().publish(Source::File(path.clone())).await.unwrap();
    let store = place.store();
    let leftovers = store.open(manifest.clone()).await.unwrap();
    assert_eq!(leftovers.blocks, all_of(manifest.content));
    let copy = store.finish(manifest.content).await.unwrap();
    assert_eq!(fs::read(copy).unwrap(), bytes(2 * BLOCK_SIZE + 7));
    assert!(path.exists());
    assert_eq!(place.names(), ["original"]);
}

/// To give up what was there already must not delete it.
#[tokio::test]
async fn giving_up_keeps_what_was_there() {
    let place = Place::new();
    let (manifest, path) = place.receive(in_memory(5)).await;
    let store = place.store();
    store.open(manifest.clone()).await.unwrap();
    store.abandon(manifest.content).await;
    assert!(path.exists());
    assert!(store.finish(manifest.content).await.is_err());
}

#[tokio::test]
async fn what_is_stored_is_listed_checked_and_forgotten_when_it_is_gone() {
    let place = Place::new();
    let (good, _) = place.receive(in_memory(10)).await;
    let (changed, path) = place.receive(in_memory(20)).await;
    fs::write(path, "something else").unwrap();
    let (gone, path) = place.receive(in_memory(30)).await;
    fs::remove_file(path).unwrap();
    let mut stored = place.stored();
    let state = |list: &[StoredContent], manifest: &Manifest| {
        list.iter().find(|stored| stored.content == manifest.content).map(|stored| stored.state)
    };
    let list = stored.list().unwrap();
    assert_eq!(state(&list, &good), Some(StoredState::Same));
    assert_eq!(state(&list, &changed), Some(StoredState::Doubtful));
    assert_eq!(state(&list, &gone), Some(StoredState::Gone));
    let mut list = Vec::new();
    let tell = |stored| {
        list.push(stored);
        Ok::<(), io::Error>(())
    };
    stored.verify(tell).unwrap();
    assert_eq!(state(&list, &good), Some(StoredState::Good));
    assert_eq!(state(&list, &changed), Some(StoredState::Changed));
    assert_eq!(state(&list, &gone), Some(StoredState::Gone));
    assert_eq!(stored.collect().unwrap().len(), 2);
    assert_eq!(stored.collect().unwrap(), []);
    let list = stored.list().unwrap();
    assert_eq!(list.iter().map(|stored| stored.content).collect::<Vec<_>>(), [good.content]);
}

/// The table has an end, and gives up what is oldest.
#[test]
fn no_more_than_the_limit_is_kept_in_mind() {
    let place = Place::new();
    let file = place.inbox.path().join("x");
    fs::write(&file, "x").unwrap();
    let store = place.store();
    let entry = |number: u32| {
        let mut hasher = ContentHasher::new();
        hasher.update(&number.to_le_bytes());
        let content = hasher.finish().unwrap().0;
        Entry::new(content, ContentKind::File, &file).unwrap()
    };
    let mut dir = lock(&store.shared.dir);
    let database = dir.database().unwrap();
    database.write(|into| (0..4100).try_for_each(|number| index::keep(into, &entry(number)))).unwrap();
    assert_eq!(database.read(index::all).unwrap().len(), 4096);
    let newest = entry(4099);
    assert!(database.read(|from| index::find(from, &newest.content)).unwrap().is_some());
}

//! The database in a data directory: what it keeps, and what becomes of it when it is damaged.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use p2pnet_engine::{
    Config, Engine, Identity, Memory, MemoryChange, Network, PeerId, Remembered, RememberedFloor, Restored,
    Seeds, Timestamp,
};

use super::database::{FILE, NUMBERS};
use super::*;

const HOME: [u8; 8] = *b"homehome";
const WORK: [u8; 8] = *b"workwork";

fn id(number: u64) -> PeerId {
    let mut bytes = [7; 32];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    PeerId::from_bytes(bytes)
}

fn peer(number: u64) -> MemoryChange {
    let address = match number % 3 {
        0 => SocketAddr::from(([10, 0, 0, 1], 8051)),
        1 => "[fe80::1%3]:8999".parse().unwrap(),
        _ => "[2001:db8::7]:1".parse().unwrap(),
    };
    let kept = Remembered {
        trusted: number.is_multiple_of(2),
        returning: number.is_multiple_of(5),
        met: number,
        ..Remembered::new(vec![number as u8; 300], address)
    };
    MemoryChange::Peer { peer: id(number), kept: Some(kept) }
}

fn floor(number: u64) -> MemoryChange {
    let kept = RememberedFloor { record: vec![number as u8; 300], proven: number.is_multiple_of(2) };
    MemoryChange::Floor { peer: id(number), kept: Some(kept) }
}

/// What a memory is after these changes.
fn after(changes: &[MemoryChange]) -> Memory {
    let mut memory = Memory::default();
    memory.apply(false, changes.to_vec());
    memory
}

fn names(dir: &Path) -> Vec<String> {
    let names = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.filter(|name| name.contains("memory")).collect();
    names.sort();
    names
}

async fn open(dir: &Path) -> DiskStore {
    DiskStore::open(dir, None).unwrap()
}

#[tokio::test]
async fn what_is_remembered_is_there_after_a_restart_and_only_on_its_network() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    assert_eq!(store.recall(HOME).await.unwrap(), Memory::default());
    assert_eq!(store.remembered_port().await.unwrap(), None);
    let changes: Vec<_> = (0..9).map(peer).chain((5..12).map(floor)).collect();
    store.remember(HOME, false, changes.clone()).await.unwrap();
    store.remember(WORK, false, vec![peer(3)]).await.unwrap();
    store.remember_port(8123).await.unwrap();
    store.remember_port(8124).await.unwrap();
    drop(store);

    let store = open(dir.path()).await;
    assert_eq!(store.recall(HOME).await.unwrap(), after(&changes));
    assert_eq!(store.recall(WORK).await.unwrap(), after(&[peer(3)]));
    assert_eq!(store.recall(*b"homehomf").await.unwrap(), Memory::default());
    assert_eq!(store.remembered_port().await.unwrap(), Some(8124));
    let forget = vec![
        MemoryChange::Peer { peer: id(3), kept: None },
        MemoryChange::Peer { peer: id(99), kept: None },
        MemoryChange::Floor { peer: id(5), kept: None },
    ];
    store.remember(HOME, false, forget.clone()).await.unwrap();
    drop(store);

    let store = open(dir.path()).await;
    assert_eq!(store.recall(HOME).await.unwrap(), after(&[changes, forget].concat()));
    store.remember(HOME, true, vec![floor(1)]).await.unwrap();
    drop(store);
    let store = open(dir.path()).await;
    assert_eq!(store.recall(HOME).await.unwrap(), after(&[floor(1)]));
    assert_eq!(store.recall(WORK).await.unwrap(), after(&[peer(3)]));
}

#[tokio::test]
async fn a_store_that_goes_with_its_run_remembers_nothing() {
    let store = DiskStore::temporary(None).unwrap();
    store.remember(HOME, false, vec![peer(1)]).await.unwrap();
    store.remember_port(8123).await.unwrap();
    assert_eq!(store.recall(HOME).await.unwrap(), Memory::default());
    assert_eq!(store.remembered_port().await.unwrap(), None);
    assert_eq!(store.next_incarnation().await.unwrap(), 1);
    assert_eq!(store.next_incarnation().await.unwrap(), 2);
}

/// A laptop that sees a new network every day does not fill its disk.
#[tokio::test]
async fn the_network_used_longest_ago_makes_room() {
    let dir = tempfile::tempdir().unwrap();
    for number in 0..20_u64 {
        let store = open(dir.path()).await;
        store.next_incarnation().await.unwrap();
        store.remember(HOME, false, vec![peer(number)]).await.unwrap();
        store.remember(number.to_be_bytes(), false, vec![peer(number), floor(number)]).await.unwrap();
    }
    let store = open(dir.path()).await;
    assert_eq!(store.recall(4_u64.to_be_bytes()).await.unwrap(), Memory::default());
    assert_eq!(store.recall(5_u64.to_be_bytes()).await.unwrap(), after(&[peer(5), floor(5)]));
    assert_eq!(store.recall(HOME).await.unwrap().peers.len(), 20);
    drop(store);
    assert_eq!(StoredMemory::open(dir.path()).unwrap().networks().unwrap().len(), 16);
}

/// The two text files of before the database: peers go to the network of their record, in their order.
#[tokio::test]
async fn the_files_of_an_older_version_are_taken_over_once() {
    let dir = tempfile::tempdir().unwrap();
    let record = |seed: u8, network: &str| {
        let config = Config::new(Network::open(network).unwrap(), "node", 8051);
        let (identity, seeds) = (Identity::from_seed([seed; 32]), Seeds::new([seed; 32], [seed; 32]));
        let engine = Engine::new(config, identity, Restored::default(), seeds, Timestamp::ZERO).unwrap();
        (engine.peer_id(), engine.record().bytes().to_vec())
    };
    let address: SocketAddr = "[fe80::1%3]:8999".parse().unwrap();
    let (home, work) = (Network::open("home").unwrap().tag(), Network::open("work").unwrap().tag());
    let peers = [record(1, "home"), record(2, "work"), record(3, "home")];
    let lines: Vec<_> = peers.iter().map(|(_, record)| (address, record.clone())).collect();
    notebook::tests::write(dir.path(), &[lines, vec![(address, vec![1, 2, 3])]].concat(), 8123);
    fs::write(dir.path().join("incarnation"), "p2pnet incarnation 1\n41\n").unwrap();

    for _ in 0..2 {
        let store = open(dir.path()).await;
        assert_eq!(store.remembered_port().await.unwrap(), Some(8123));
        let at_home = store.recall(home).await.unwrap().peers;
        assert_eq!(
            at_home.keys().collect::<std::collections::BTreeSet<_>>(),
            [&peers[0].0, &peers[2].0].into()
        );
        assert_eq!((&at_home[&peers[0].0].record, at_home[&peers[0].0].address), (&peers[0].1, address));
        assert!(at_home[&peers[0].0].met > at_home[&peers[2].0].met, "the first was the best");
        assert_eq!(store.recall(work).await.unwrap().peers.len(), 1);
        assert!(!dir.path().join("peers").exists() && !dir.path().join("port").exists());
    }
    assert_eq!(open(dir.path()).await.next_incarnation().await.unwrap(), 42);
}

/// Whoever goes back to an older p2pnet loses nothing: it says so and does not touch the file.
#[tokio::test]
async fn a_newer_version_is_refused_and_left_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    open(dir.path()).await.remember(HOME, false, vec![peer(1)]).await.unwrap();
    let path = dir.path().join(FILE);
    let newer = redb::Database::open(&path).unwrap();
    let transaction = newer.begin_write().unwrap();
    transaction.open_table(NUMBERS).unwrap().insert("schema", 2 | (!2_u64 << 32)).unwrap();
    transaction.commit().unwrap();
    drop(newer);
    let before = fs::read(&path).unwrap();
    let error = DiskStore::open(dir.path(), None).unwrap_err();
    assert!(matches!(&error, DiskStoreError::NewerMemory { found: 2, known: 1, .. }), "{error:?}");
    let message = error.to_string();
    assert!(message.contains(&path.display().to_string()) && !message.contains('\n'), "{message}");
    assert!(fs::read(&path).unwrap() == before);
    assert_eq!(names(dir.path()), [FILE]);
}

/// Whatever lies in the place of the database is put aside, and the node starts with a new one.
#[tokio::test]
async fn what_is_no_database_of_ours_is_put_aside() {
    let whole = {
        let dir = tempfile::tempdir().unwrap();
        open(dir.path()).await.remember(HOME, false, vec![peer(1)]).await.unwrap();
        fs::read(dir.path().join(FILE)).unwrap()
    };
    let mut wrong_magic = whole.clone();
    wrong_magic[0] ^= 1;
    let cases: [(&str, &[u8]); 5] = [
        ("nothing", b""),
        ("text", b"p2pnet peers 1\n"),
        ("zeros", &[0; 100_000]),
        ("half", &whole[..whole.len() / 2]),
        ("wrong magic", &wrong_magic),
    ];
    for (what, bytes) in cases {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(FILE), bytes).unwrap();
        let store = open(dir.path()).await;
        assert_eq!(store.recall(HOME).await.unwrap(), Memory::default(), "{what}");
        store.remember(HOME, false, vec![peer(2)]).await.unwrap();
        drop(store);
        assert_eq!(open(dir.path()).await.recall(HOME).await.unwrap(), after(&[peer(2)]), "{what}");
        assert_eq!(names(dir.path()), [FILE.to_owned(), format!("{FILE}.damaged-1")], "{what}");
        assert_eq!(fs::read(dir.path().join(format!("{FILE}.damaged-1"))).unwrap(), bytes, "{what}");
    }

    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join(FILE)).unwrap();
    open(dir.path()).await.remember(HOME, false, vec![peer(2)]).await.unwrap();
    assert!(dir.path().join(format!("{FILE}.damaged-1")).is_dir());
    // Somebody else's database.
    fs::remove_file(dir.path().join(FILE)).unwrap();
    drop(redb::Database::create(dir.path().join(FILE)).unwrap());
    open(dir.path()).await.remember(HOME, false, vec![peer(2)]).await.unwrap();
    for _ in 0..5 {
        fs::write(dir.path().join(FILE), b"again").unwrap();
        open(dir.path()).await.remember(HOME, false, vec![peer(2)]).await.unwrap();
    }
    assert_eq!(names(dir.path()).len(), 4, "only so many are kept");
}

/// A disk that fails while the node runs: what was asked then fails, and the next request works on a new file.
#[tokio::test]
async fn damage_while_a_node_runs_costs_what_was_kept_and_no_more() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    store.remember(HOME, false, (0..50).map(peer).collect()).await.unwrap();
    let length = fs::metadata(dir.path().join(FILE)).unwrap().len();
    let file = fs::OpenOptions::new().write(true).open(dir.path().join(FILE)).unwrap();
    durable::write_all_at(&file, &vec![0xa5; usize::try_from(length).unwrap()], 0).unwrap();
    // Its own pages may be in its memory; at some point it reads a damaged one.
    let mut failures = 0;
    for round in 0..20 {
        if store.remember(HOME, true, (round..round + 50).map(peer).collect()).await.is_err() {
            failures += 1;
        }
    }
    assert!(failures <= 2, "{failures}");
    drop(store);
    let kept = open(dir.path()).await.recall(HOME).await.unwrap();
    assert!(kept == after(&(19..69).map(peer).collect::<Vec<_>>()) || kept == Memory::default(), "{kept:?}");
}

/// Bits flip, files are cut short, pages are lost: the node starts, knows what it knew at some commit or nothing, and goes
/// on. The incarnation survives all of it.
#[tokio::test]
async fn no_damage_to_the_file_stops_a_node_or_makes_things_up() {
    let dir = tempfile::tempdir().unwrap();
    let mut states = vec![Memory::default()];
    for round in 0..6 {
        let store = open(dir.path()).await;
        assert_eq!(store.next_incarnation().await.unwrap(), round + 1);
        let changes: Vec<_> =
            (10 * round..10 * round + 10).flat_map(|number| [peer(number), floor(number)]).collect();
        store.remember(HOME, false, changes.clone()).await.unwrap();
        let mut state = states.last().unwrap().clone();
        state.apply(false, changes);
        states.push(state);
    }
    let path = dir.path().join(FILE);
    let whole = fs::read(&path).unwrap();
    let mut draws = 0x9e37_79b9_7f4a_7c15_u64;
    let mut draw = |below: usize| {
        draws = draws.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (draws >> 33) as usize % below
    };
    let used: Vec<usize> = (0..whole.len()).filter(|&at| whole[at] != 0).collect();
    let (mut put_aside, mut as_before) = (0, 0);
    for round in 0..200 {
        let mut bytes = whole.clone();
        match round % 8 {
            // The header, every byte of which means something.
            0 | 1 => bytes[draw(320)] ^= 1 << draw(8),
            2..5 => bytes[used[draw(used.len())]] ^= 1 << draw(8),
            5 => bytes.truncate(draw(whole.len())),
            6 => {
                let page = draw(whole.len() / 4096) * 4096;
                bytes[page..page + 4096].fill(0);
            }
            _ => {
                let (from, to) = (draw(whole.len() / 512) * 512, draw(whole.len() / 512) * 512);
                bytes.copy_within(from..from + 512, to);
            }
        }
        fs::write(&path, &bytes).unwrap();
        let store = open(dir.path()).await;
        let kept = store.recall(HOME).await.unwrap();
        assert!(states.contains(&kept), "round {round} makes something up");
        store.remember(HOME, false, vec![peer(1)]).await.unwrap();
        drop(store);
        let aside = dir.path().join(format!("{FILE}.damaged-1"));
        if aside.exists() {
            put_aside += 1;
            fs::remove_file(aside).unwrap();
            assert_eq!(kept, Memory::default());
        } else {
            as_before += u32::from(kept == *states.last().unwrap());
        }
    }
    assert_eq!(open(dir.path()).await.next_incarnation().await.unwrap(), 7);
    assert!(put_aside > 25 && as_before > 25, "{put_aside} were put aside, {as_before} did no harm");
}

/// What `p2pnet forget` needs, and the lock that keeps it from a running node.
#[tokio::test]
async fn a_directory_that_no_node_uses_can_be_looked_at_and_changed() {
    let parent = tempfile::tempdir().unwrap();
    let missing = parent.path().join("missing");
    assert!(matches!(StoredMemory::open(&missing), Err(DiskStoreError::Directory { .. })));
    assert!(!missing.exists());

    let dir = parent.path();
    let store = open(dir).await;
    store.remember(HOME, false, vec![peer(1), peer(2), floor(1)]).await.unwrap();
    store.remember(WORK, false, vec![peer(1)]).await.unwrap();
    assert!(matches!(StoredMemory::open(dir), Err(DiskStoreError::InUse { .. })));
    drop(store);
    let mut memory = StoredMemory::open(dir).unwrap();
    assert_eq!(memory.networks().unwrap(), [HOME, WORK]);
    assert!(memory.forget(id(1)).unwrap());
    assert!(!memory.forget(id(1)).unwrap());
    let address: std::net::IpAddr = "fe80::7".parse().unwrap();
    let decisions = vec![Decision::Block(address.into()), Decision::Trust(id(4))];
    memory.decide(HOME, &[Decision::Trust(id(3))]).unwrap();
    memory.decide(HOME, &decisions).unwrap();
    drop(memory);

    let store = open(dir).await;
    assert_eq!(store.recall(HOME).await.unwrap(), after(&[peer(2), floor(1)]), "who left stays away");
    assert_eq!(store.recall(WORK).await.unwrap(), Memory::default());
    drop(store);
    let mut memory = StoredMemory::open(dir).unwrap();
    assert_eq!(memory.decisions(HOME).unwrap(), decisions);
    assert_eq!(memory.decisions(WORK).unwrap(), []);
}

/// Which authority a node locked to and what it has done outlives the run, for each network.
#[tokio::test]
async fn what_is_kept_of_authorities_is_kept_for_each_network() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    assert_eq!(store.authority(HOME).await.unwrap(), AuthorityState::default());
    // Locked, and nothing else.
    let mut bytes = vec![1];
    bytes.extend_from_slice(id(1).as_bytes());
    bytes.extend_from_slice(&[0; 7]);
    let state = AuthorityState::parse(&bytes).unwrap();
    assert_eq!(state.locked(), Some(id(1)));
    store.save_authority(HOME, AuthorityState::default()).await.unwrap();
    store.save_authority(HOME, state.clone()).await.unwrap();
    drop(store);
    let store = open(dir.path()).await;
    assert_eq!(store.authority(HOME).await.unwrap(), state);
    assert_eq!(store.authority(WORK).await.unwrap(), AuthorityState::default());
}

/// Names and addresses of others are nobody else's business.
#[cfg(unix)]
#[tokio::test]
async fn the_database_belongs_to_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    open(dir.path()).await;
    let mode = fs::metadata(dir.path().join(FILE)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

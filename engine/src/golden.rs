//! Bytes that must never change within one version of the protocol: if a test here fails, other nodes no longer
//! understand this one, and `PROTOCOL_VERSION` has to rise. The same with and without the feature `ring`.

use alloc::string::String;
use alloc::vec::Vec;

use crate::content::{BlockRef, ContentId};
use crate::identity::Identity;
use crate::link::handshake_tests::run;
use crate::link::{Channel, CipherSuite, LinkCodec, block_header};
use crate::network::Network;
use crate::record::tests::sample;
use crate::record::{Instance, SignedRecord};
use crate::task::{NetworkTask, TaskFailure, TaskKind, TaskOutcome, TaskReport, TaskTarget};
use crate::wire::beacon::{Beacon, BeaconFlags, Way};
use crate::wire::codec::encode;
use crate::wire::{
    BUCKETS, Frame, MessageKey, Payload, Recap, RecapBody, RecordEntry, Relayed, Span, bucket_digest,
    place_of, root_digest, shortened,
};

fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}

fn digest(bytes: &[u8]) -> String {
    hex(blake3::hash(bytes).as_bytes())
}

fn signed_record() -> SignedRecord {
    let identity = Identity::from_seed([1; 32]);
    SignedRecord::sign(&identity, sample(&identity)).unwrap()
}

#[test]
fn an_identity() {
    let identity = Identity::from_seed([1; 32]);
    assert_eq!(
        alloc::format!("{}", identity.peer_id()),
        "rkeohxlubhyzl7ks3mwtzos5olfgocn7dwkbeg7toseadnapn5oa"
    );
    assert_eq!(
        hex(&identity.link_public()),
        "404723fbde2c205b68f47007a15b16de6b1291a412f5d52a461b4bb63379bb71"
    );
}

#[test]
fn a_network() {
    let open = Network::open("golden").unwrap();
    let closed = Network::with_secret("golden", &[3; 32]).unwrap();
    assert_eq!(hex(&open.tag()), "f99671abe5304997");
    assert_eq!(hex(&open.link_psk()), "cb6f04bf5275cffd6e85b052f7182b976362ac66385092888c6c02dfd83b3710");
    assert_eq!(hex(&closed.tag()), "9dd0b073cca98867");
    assert_eq!(hex(&closed.link_psk()), "630e7d8b26413697e8a3365042189616f38ddef41f665cd09a10d3f24c3138ee");
}

#[test]
fn a_signed_record() {
    assert_eq!(
        hex(signed_record().bytes()),
        "09090909090909098a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c03fc7011010000fc805101000005050505050505050505050505050505404723fbde2c205b68f47007a15b16de6b1291a412f5d52a461b4bb63379bb71fb411f05636166c3a90200c0a8010701fe80000000000000000000000000000101fa21dba7eb6891f4e6ff0eaddebb0147f91b127d3e34e23a352ee2c28b38f5a6143b3f4044aa0e4c310fd9012b1e84818d828f62abac148d5f23bb2f5f4ace01"
    );
}

#[test]
fn what_neighbours_compare() {
    let record = signed_record();
    let place = place_of(&Network::open("golden").unwrap().place_key(), &record.record().peer);
    let digest = bucket_digest(core::iter::once((place, record.clone())));
    let mut digests = [bucket_digest(core::iter::empty()); BUCKETS];
    digests[(place >> 56) as usize] = digest;
    let offered = Frame::RecordsOffered(alloc::vec![RecordEntry::of(place, &record)]);
    let bytes = [
        hex(&place.to_be_bytes()),
        hex(&shortened(&digest)),
        hex(&root_digest(&digests)),
        hex(&encode(&offered)),
    ];
    let expected = [
        "a5e770da6a1d4049",
        "961787f66bcde382",
        "f47e633d13b01a7e20b6628025e6e989",
        "1501fd49401d6ada70e7a5000300fc701101006848f48c0505",
    ];
    assert_eq!(bytes, expected);
}

#[test]
fn a_sealed_beacon() {
    let beacon = Beacon {
        instance: Instance::from_bytes([5; 16]),
        counter: 258,
        flags: BeaconFlags::ANNOUNCE.with(BeaconFlags::SOLICIT),
        way: Way::default(),
        record: signed_record().bytes().to_vec(),
        pulse: None,
    };
    let datagram = beacon.seal(&Network::open("golden").unwrap());
    assert_eq!(
        hex(&datagram[..45]),
        "7032706201050505050505050505050505050505050201000000000000a2b1804d7dfff51250a23fc4b0bc8d2c"
    );
    assert_eq!(digest(&datagram), "af904fa2c5ef79a872425f9654233992d82fd56d471bf8f24da32f3ce3fa77cd");
}

#[test]
fn handshakes() {
    let aes = run(CipherSuite::Aes256GcmSha256);
    assert_eq!(
        hex(&aes.first),
        "7032706e01013000f7a497fa36816e0185bdaef54318099f1bac04426218b17dffd01ff2500142730f64c95b1826c6f4421e129ee1d45c19"
    );
    assert_eq!(
        hex(&aes.second),
        "7032706e01016d00678086b120645e07a42cccc8cfbbc66124d1f048a6c92df5438bce955670646f67cb0eb750d6358c961ab52e802a7be814a08ba603384455e6f0e723cb1fc540e86cf190e982c8816c297e07f202da61da70e5a4639beedc2f5ab8c233d2bd9c4f83000e0c5ae95cc7888d9dae"
    );
    assert_eq!(
        hex(&aes.third),
        "4c008bfe794128cef45ddc984792569868a6eb7632295a8e8e3ce85689a6761705df43d3558389416e54df6391bbb747a8e44bfdafc12f816c8798870040929adc7225eae17503f5a153173cda5f"
    );
    assert_eq!(
        hex(&aes.dialler.transcript),
        "6bd35b57f44599a8510a3ce320149254819aebb6ab4c856131c8aa93c30993b2"
    );
    let chacha = run(CipherSuite::ChaChaPolyBlake2s);
    assert_eq!(
        hex(&chacha.first),
        "7032706e01023000f7a497fa36816e0185bdaef54318099f1bac04426218b17dffd01ff25001427362e410dedd6f8875a356d4aab30767d0"
    );
    assert_eq!(
        hex(&chacha.second),
        "7032706e01026d00678086b120645e07a42cccc8cfbbc66124d1f048a6c92df5438bce955670646f49c25421de2172522569d598421189586ea079b81a2d9df1fd4abe4e7225a8f800d90dd781e6bebc44b43522275b24c65eafbb0d50a5a1646f485fdaa8f2fefd0b3e9956d7d98a582a0ff296b6"
    );
    assert_eq!(
        hex(&chacha.third),
        "4c00d2738c22470fd6b2569c2a2045bebc26001ae269cf1831e2bf9e9708034111894497ca15130e4ff65bcff8989242cdcdf47c6bd4602e7df4766736960266a822ac66ed2fd4d37bd58dec65c8"
    );
    assert_eq!(
        hex(&chacha.dialler.transcript),
        "6038bb126f2f35c23178c85ca9796981b5777e991c36d2bc1e0799be6fac193c"
    );
}

#[test]
fn sealed_link_records() {
    let content = ContentId { hash: [4; 32], size: 70_000 };
    let sealed = |suite| {
        let (mut sealer, _) = LinkCodec::from_keys(suite, &[6; 32], &[7; 32]).split();
        let mut out = Vec::new();
        sealer.seal(Channel::Control, &[2, 0, 0, 0, 1, 2], &mut out);
        sealer.seal(Channel::Bulk, &block_header(&BlockRef { content, index: 0 }), &mut out);
        let head = hex(&out);
        sealer.seal(Channel::Bulk, &[8; 70_000], &mut out);
        (head, digest(&out))
    };
    let (head, all) = sealed(CipherSuite::Aes256GcmSha256);
    assert_eq!(
        head,
        "160000dc16beda28b8b2895659bd534080f856bf5a926550be400001e6483dd2e190f6b7d50ca5b062fa03f1cd8cab41961b2505f016672071b9522e81e3ec3389572ded0364c59feea57977203b640d75abdcbbabdbf48dd478dced"
    );
    assert_eq!(all, "08123e3dbe0c9cf76677b2aedb712a9bb40c96495affb7cb3b492daac8ef2336");
    let (head, all) = sealed(CipherSuite::ChaChaPolyBlake2s);
    assert_eq!(
        head,
        "1600009fcf40c407f4ea803f9c23ba3d908fedb07e3bc2ec93400001664a59297e83ae4f902b95cb168a21e4bfecb4f01a9d21b073166e4e531eea5330d97cdebcbd0361e461d7eeca84845b56fd9fdcd1c15aa48ebd6c87c46f9a0d"
    );
    assert_eq!(all, "04c74c060d66c3df91d727cfef82dd5cce958d483fc09a28f942e50fabe2586b");
}

#[test]
fn messages() {
    let identity = Identity::from_seed([1; 32]);
    let key = MessageKey { origin: identity.peer_id(), incarnation: 3, seq: 300 };
    let network = Network::open("golden").unwrap();
    let relayed = Relayed::sign(&identity, &network, key, Payload::new(b"hi"));
    let said = RecapBody { origin: identity.peer_id(), incarnation: 3, base: 1, last: 300, round: 2 };
    let span = Span { origin: identity.peer_id(), incarnation: 3, first: 1, last: 300 };
    let frames = [
        Frame::Message { id: 1, base: 1, payload: Payload::new(b"hi") },
        Frame::MessageAck { id: 1, again: true },
        Frame::Gossip(relayed),
        Frame::IHave(alloc::vec![span]),
        Frame::Graft(alloc::vec![span]),
        Frame::Prune,
        Frame::Recap(Recap::sign(&identity, &network, said)),
        Frame::Reached { origin: identity.peer_id(), incarnation: 3, entries: alloc::vec![(7, 300)] },
    ];
    let bytes: Vec<String> = frames.iter().map(|frame| hex(&encode(frame))).collect();
    let expected = [
        "1f0101026869",
        "200101",
        "218a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c03fb2c01000002686940c601eb661ceb122fa8476c147992762dead68d2f99134ba7661a4c9fe646adfb08c36b88533b12ea7fa32206cff904e84456587b22d3cf2845b621b89aa6e307",
        "22018a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c0301fb2c01",
        "23018a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c0301fb2c01",
        "24",
        "258a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c0301fb2c010240f110020ad5f2cf1921b429253a710e154c9d7a13aa245ff245c2386a2e1cea3dbae6647117ddd00a9053ce131372587029f94986cf54102344ac11d2ccf1020e",
        "268a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c030107fb2c01",
    ];
    assert_eq!(bytes, expected);
}

#[test]
fn tasks_and_reports() {
    let authority = Identity::from_seed([1; 32]);
    let network = Network::open("golden").unwrap().tag();
    let kind = TaskKind::SetIdentifier { name: "desk".into() };
    let task = NetworkTask::issue(&authority, network, TaskTarget::Everyone, 3, 300, kind).unwrap();
    let outcome = TaskOutcome::Failed { reason: TaskFailure::Outdated };
    let report = TaskReport::sign(&authority, network, task.id(), outcome);
    let said = encode(&Frame::Task(task.to_bytes()));
    assert_eq!(
        hex(&said),
        "2773f99671abe53049978a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c0003fb2c0113046465736ba4cc66546b4afbff3d94a9a04b22c0a6708c81e5b2c84811f006ab5f4801bf2d4c9afcf6323e3288f452d8a4c90deeb3b08253fde34e06a87506dcb1f42d750a"
    );
    assert_eq!(
        hex(&report.to_bytes()),
        "f99671abe530499750090932a763db0b9cb3a114f6c0ee00c236561aeabd387a368ad933b5c3abbb8a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c0207bbee6f369c4a597161a6fbc01139ef05af338dfcda04b4adb9098a3bb30c92580af51670123217243d538777cae5d02549defbc8db229d1db96482c081479500"
    );
}

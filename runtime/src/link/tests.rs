//! Links joined in memory, with real codecs and a real store.

use std::time::Duration;

use p2pnet_engine::{BlockList, CipherSuite, Manifest, Opened, StoreReply};
use tokio::io::{DuplexStream, ReadHalf, WriteHalf};
use tokio::time::timeout;

use super::*;
use crate::disk_store::DiskStore;
use crate::seam::Source;

impl Stream for DuplexStream {
    type Read = ReadHalf<DuplexStream>;
    type Write = WriteHalf<DuplexStream>;

    fn split(self) -> (Self::Read, Self::Write) {
        tokio::io::split(self)
    }
}

/// One end as its driver sees it.
struct End {
    link: Link,
    reports: mpsc::Receiver<Report>,
    news: mpsc::Receiver<StoreNews>,
    store: Arc<DiskStore>,
}

impl End {
    fn open(stream: DuplexStream) -> Self {
        let (reports_in, reports) = mpsc::channel(64);
        let (news_in, news) = mpsc::channel(64);
        let store = Arc::new(DiskStore::temporary(None).unwrap());
        let to = Reports { link: LinkId(7), store: store.clone(), reports: reports_in, news: news_in };
        End { link: Link::open(Halves::from(stream), to), reports, news, store }
    }

    /// What happens next but for what the writer reports as written.
    async fn next(&mut self) -> Happened {
        loop {
            let report = timeout(Duration::from_secs(5), self.reports.recv()).await;
            let report = report.expect("nothing happens").expect("the link is gone");
            assert_eq!(report.link, LinkId(7));
            match report.what {
                Happened::Drained(amount) => self.link.drained(amount),
                what => return what,
            }
        }
    }

    async fn publish(&self, bytes: Vec<u8>) -> (Manifest, BlockList) {
        self.store.publish(Source::Bytes { name: "test".into(), bytes }).await.unwrap()
    }
}

fn codecs() -> (LinkCodec, LinkCodec) {
    let codec = |seal, open| LinkCodec::from_keys(CipherSuite::ChaChaPolyBlake2s, &[seal; 32], &[open; 32]);
    (codec(1, 2), codec(2, 1))
}

/// Two ends over a stream that holds `buffer` bytes, their handshake done.
async fn joined(buffer: usize) -> (End, End) {
    let (here, there) = tokio::io::duplex(buffer);
    let (mut here, mut there) = (End::open(here), End::open(there));
    here.link.raw(b"hello".to_vec());
    there.link.raw(b"hello".to_vec());
    let (codec, other) = codecs();
    for (end, codec) in [(&mut here, codec), (&mut there, other)] {
        assert!(matches!(end.next().await, Happened::Handshake(bytes) if bytes == b"hello"));
        end.link.ready(codec);
        end.link.more();
    }
    (here, there)
}

/// A control frame as the engine frames it.
fn frame(body: &[u8]) -> Vec<u8> {
    let mut framed = u32::try_from(body.len()).unwrap().to_le_bytes().to_vec();
    framed.extend_from_slice(body);
    framed
}

fn blocks(manifest: &Manifest) -> impl Iterator<Item = BlockRef> {
    let content = manifest.content;
    (0..content.block_count()).map(move |index| BlockRef { content, index })
}

#[tokio::test]
async fn control_overtakes_blocks_that_were_ordered_before() {
    let (here, mut there) = tokio::io::duplex(1 << 16);
    let mut here = End::open(here);
    let (codec, other) = codecs();
    let (_, mut opener) = other.split();
    here.link.ready(codec);
    let (manifest, _) = here.publish(vec![5; 3 << 20]).await;
    for block in blocks(&manifest) {
        here.link.block(block);
    }
    // The first block is under way and fills the stream, which nobody reads yet.
    tokio::time::sleep(Duration::from_millis(50)).await;
    here.link.frames(frame(b"first"));
    tokio::task::yield_now().await;
    let mut opened = Vec::new();
    while opened.len() < 4 {
        match opener.next().unwrap() {
            Some(Opened::Control(body)) => opened.push((body, None)),
            Some(Opened::Block { block, data }) => {
                assert!(data.iter().all(|&byte| byte == 5));
                opened.push((Vec::new(), Some(block)));
            }
            None => {
                let n = tokio::io::AsyncReadExt::read(&mut there, opener.space()).await.unwrap();
                opener.advance(n);
            }
        }
    }
    let expected: Vec<_> = blocks(&manifest).map(|block| (Vec::new(), Some(block))).collect();
    assert_eq!(opened[0], (b"first".to_vec(), None));
    assert_eq!(opened[1..], expected);
}

#[tokio::test]
async fn good_blocks_are_written_and_others_only_judged() {
    let (mut here, mut there) = joined(1 << 16).await;
    let (manifest, list) = here.publish((0..2_500_000_u32).map(|i| (i >> 14) as u8).collect()).await;
    there.store.open(manifest.clone()).await.unwrap();
    let all: Vec<_> = blocks(&manifest).collect();
    // The first is what is said of it, the second is not, nobody asked for the third.
    assert!(there.link.expect(all[0], list.check(&manifest.content, 0).unwrap()));
    assert!(there.link.expect(all[1], list.check(&manifest.content, 0).unwrap()));
    for block in &all {
        here.link.block(*block);
    }
    for (block, verdict) in all.iter().zip([Verdict::Good, Verdict::Bad, Verdict::Unexpected]) {
        let what = there.next().await;
        assert!(matches!(what, Happened::Block(b, v) if (b, v) == (*block, verdict)), "{what:?}");
    }
    let written = there.news.recv().await;
    assert!(
        matches!(written, Some(StoreNews::Reply(StoreReply::Written { block, result: Ok(()) })) if block == all[0])
    );
    assert!(there.news.try_recv().is_err());
}

#[tokio::test]
async fn what_was_judged_good_is_written_even_if_the_link_is_dropped() {
    let (mut here, mut there) = joined(1 << 16).await;
    let (manifest, list) = here.publish(vec![3; 5 << 20]).await;
    there.store.open(manifest.clone()).await.unwrap();
    for block in blocks(&manifest) {
        assert!(there.link.expect(block, list.check(&manifest.content, block.index).unwrap()));
        here.link.block(block);
    }
    for _ in 0..2 {
        assert!(matches!(there.next().await, Happened::Block(_, Verdict::Good)));
    }
    drop(there.link);
    // What was judged meanwhile is in the channel.
    let mut good = 2;
    while let Some(report) = there.reports.recv().await {
        good += usize::from(matches!(report.what, Happened::Block(_, Verdict::Good)));
    }
    let mut written = 0;
    while let Some(news) = there.news.recv().await {
        assert!(matches!(news, StoreNews::Reply(StoreReply::Written { result: Ok(()), .. })), "{news:?}");
        written += 1;
    }
    assert_eq!(written, good);
}

#[tokio::test]
async fn a_block_that_cannot_be_read_is_told_and_the_link_goes_on() {
    let (mut here, mut there) = joined(1 << 16).await;
    let (manifest, _) = here.publish(vec![1; 100]).await;
    let block = BlockRef { content: manifest.content, index: 0 };
    here.store.withdraw(manifest.content).await;
    here.link.block(block);
    let news = here.news.recv().await;
    let unreadable = StoreNews::Reply(StoreReply::Unreadable { link: LinkId(7), block });
    assert_eq!(format!("{news:?}"), format!("{:?}", Some(unreadable)));
    here.link.frames(frame(b"on"));
    assert!(matches!(there.next().await, Happened::Frames(bodies) if bodies == [b"on"]));
}

#[tokio::test]
async fn what_is_written_gives_the_budget_back() {
    let (mut here, mut there) = joined(1 << 16).await;
    let full = here.link.budget();
    here.link.frames(frame(&[0; 60_000]));
    let low = here.link.budget();
    assert!(low <= full - 60_000);
    there.link.frames(frame(b"answer"));
    assert!(matches!(there.next().await, Happened::Frames(_)));
    assert!(matches!(here.next().await, Happened::Frames(_)));
    while here.link.budget() < CONTROL_QUEUE {
        let report = timeout(Duration::from_secs(5), here.reports.recv()).await.unwrap().unwrap();
        if let Happened::Drained(amount) = report.what {
            here.link.drained(amount);
        }
    }
}

#[tokio::test]
async fn a_peer_that_does_not_read_stops_neither_driver_nor_end() {
    let (here, _unread) = tokio::io::duplex(16);
    let mut here = End::open(here);
    for _ in 0..10_000 {
        here.link.raw(vec![0; 1000]);
    }
    assert_eq!(here.link.budget(), 0);
    // Its last words are given up after a while.
    timeout(FLUSH_TIME * 2, here.link.finish()).await.unwrap();
}

#[tokio::test]
async fn last_words_arrive_and_then_the_stream_ends() {
    let (mut here, mut there) = joined(1 << 16).await;
    // Unread input must not turn the end into a reset.
    there.link.frames(frame(b"never read"));
    here.link.frames(frame(b"goodbye"));
    let finish = tokio::spawn(here.link.finish());
    assert!(matches!(there.next().await, Happened::Frames(bodies) if bodies == [b"goodbye"]));
    assert!(matches!(there.next().await, Happened::Closed(LinkEnd::Eof)));
    there.link.stop().await;
    timeout(LINGER_TIME / 2, finish).await.expect("it waits for nothing").unwrap();
}

#[tokio::test]
async fn a_stream_that_is_not_the_peers_ends_as_forged() {
    let (here, mut there) = tokio::io::duplex(1 << 16);
    let mut here = End::open(here);
    let (codec, _) = codecs();
    tokio::io::AsyncWriteExt::write_all(&mut there, b"hello").await.unwrap();
    assert!(matches!(here.next().await, Happened::Handshake(_)));
    here.link.ready(codec);
    tokio::io::AsyncWriteExt::write_all(&mut there, &[20, 0, 0].repeat(100)).await.unwrap();
    assert!(matches!(here.next().await, Happened::Closed(LinkEnd::Forged)));
}

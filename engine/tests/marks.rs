//! The catalogue of coverage marks and the source agree, and marks count what one engine did.

#[cfg(feature = "marks")]
mod lan;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// The text of every file of the engine's source.
fn sources(folder: &Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else {
            found.push(std::fs::read_to_string(path).unwrap());
        }
    }
}

/// How often each mark stands in the source.
fn used() -> BTreeMap<String, usize> {
    let mut texts = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut texts);
    let mut used = BTreeMap::new();
    for text in &texts {
        for rest in text.split("mark!(self, ").skip(1) {
            let name = rest.split(')').next().unwrap();
            *used.entry(name.to_string()).or_default() += 1;
        }
    }
    used
}

/// The names in the catalogue, as they stand there.
fn catalogued() -> Vec<String> {
    let text = include_str!("../src/marks.rs");
    let lines = text.split("catalogue! {").nth(1).unwrap().split("\n}").next().unwrap().lines();
    lines.filter_map(|line| Some(line.trim().split_once(": \"")?.0.to_string())).collect()
}

#[test]
fn every_mark_stands_in_the_source_and_none_is_unknown() {
    let names = catalogued();
    let distinct: BTreeSet<&String> = names.iter().collect();
    assert!(names.len() >= 60 && distinct.len() == names.len(), "{names:?}");
    let used = used();
    let unused: Vec<&String> = names.iter().filter(|name| !used.contains_key(*name)).collect();
    assert!(unused.is_empty(), "in the catalogue only: {unused:?}");
    let unknown: Vec<&String> = used.keys().filter(|name| !distinct.contains(name)).collect();
    assert!(unknown.is_empty(), "in the source only: {unknown:?}");
}

#[cfg(feature = "marks")]
mod counting {
    use p2pnet_engine::Mark;

    use super::lan::Lan;

    #[test]
    fn the_catalogue_at_run_time_is_the_one_in_the_source() {
        let names: Vec<&str> = Mark::ALL.iter().map(|mark| mark.name()).collect();
        assert_eq!(names, super::catalogued());
        assert!(Mark::ALL.iter().all(|mark| mark.sentence().ends_with('.')));
    }

    #[test]
    fn each_engine_counts_for_itself() {
        let mut lan = Lan::new(2);
        lan.run_for_millis(1_000);
        let alone = Lan::new(1);
        for node in &lan.nodes {
            let marks = node.engine.marks();
            assert_eq!(marks.count(Mark::Trusted), 1);
            assert_eq!(marks.count(Mark::VerificationPassed), 1);
            assert_eq!(marks.count(Mark::LinkLostToSilence), 0);
            assert_eq!(marks.iter().map(|(_, count)| count > 0).filter(|hit| *hit).count(), {
                Mark::ALL.iter().filter(|mark| marks.count(**mark) > 0).count()
            });
        }
        assert_eq!(alone.nodes[0].engine.marks().count(Mark::Trusted), 0);
    }

    #[test]
    fn a_cut_and_a_farewell_leave_their_marks() {
        let mut lan = Lan::new(2);
        lan.run_for_millis(1_000);
        lan.cut();
        lan.run_for_millis(2_000);
        lan.command(1, |engine, now| engine.leave(now));
        lan.run_for_millis(2_000);
        let (stayed, left) = (lan.nodes[0].engine.marks(), lan.nodes[1].engine.marks());
        assert_eq!(stayed.count(Mark::Trusted), 2);
        assert_eq!(stayed.count(Mark::PeerGone), 1);
        assert_eq!(left.count(Mark::Farewell), 3);
        assert_eq!(stayed.count(Mark::Farewell), 0);
    }
}

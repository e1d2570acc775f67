use super::*;

fn written(entries: &[Vec<u8>]) -> (tempfile::TempDir, FileMeta) {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = BlockWriter::create(dir.path(), "x.bin", 1).unwrap();
    for (number, entry) in entries.iter().enumerate() {
        assert_eq!(writer.push(entry).unwrap() as usize, number);
    }
    let meta = writer.finish().unwrap();
    (dir, meta)
}

fn entries() -> Vec<Vec<u8>> {
    (0..5000u32).map(|n| n.to_le_bytes().repeat((n % 97) as usize)).collect()
}

#[test]
fn entries_come_back_in_any_order() {
    let entries = entries();
    let (dir, meta) = written(&entries);
    let file = BlockFile::open(dir.path(), &meta).unwrap();
    assert_eq!(file.len().unwrap(), 5000);
    let mut cursor = file.cursor();
    for number in (0..5000u32).rev().step_by(7).chain([0, 4999, 1]) {
        assert_eq!(cursor.get(number).unwrap(), entries[number as usize]);
    }
    assert!(matches!(cursor.get(5000), Err(SegmentError::Corrupt { .. })));
}

#[test]
fn an_empty_file_and_a_large_entry_are_fine() {
    let (dir, meta) = written(&[]);
    assert_eq!(BlockFile::open(dir.path(), &meta).unwrap().len().unwrap(), 0);

    let large = vec![vec![1], vec![7; 3 << 20], vec![]];
    let (dir, meta) = written(&large);
    let file = BlockFile::open(dir.path(), &meta).unwrap();
    assert_eq!(file.cursor().get(1).unwrap(), large[1]);
    assert_eq!(file.cursor().get(2).unwrap(), large[2]);
}

#[test]
fn every_flipped_byte_is_noticed_or_harmless() {
    let entries: Vec<Vec<u8>> = entries().into_iter().take(300).collect();
    let (dir, meta) = written(&entries);
    let path = dir.path().join(&meta.name);
    let good = std::fs::read(&path).unwrap();
    for at in (0..good.len()).step_by(11).chain(good.len() - 40..good.len()) {
        let mut bad = good.clone();
        bad[at] ^= 0x10;
        std::fs::write(&path, &bad).unwrap();
        let file = BlockFile::open(dir.path(), &meta).unwrap();
        let mut cursor = file.cursor();
        for (number, entry) in entries.iter().enumerate() {
            match cursor.get(number as u32) {
                Ok(read) => assert_eq!(read, entry, "byte {at}"),
                Err(SegmentError::Corrupt { .. }) => break,
                Err(error) => panic!("byte {at}: {error}"),
            }
        }
    }
}

#[test]
fn a_file_of_another_size_is_refused() {
    let (dir, meta) = written(&entries());
    let path = dir.path().join(&meta.name);
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
    assert!(matches!(BlockFile::open(dir.path(), &meta), Err(SegmentError::Corrupt { .. })));
}

//! Which files of a folder are read, and how much of it.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::Mistake;

const MAX_DEPTH: usize = 8;
const MAX_FILES: usize = 2_000;
const MAX_FILE_BYTES: u64 = 1 << 20;
const MAX_BYTES: u64 = 64 << 20;

/// Path and text of every YAML file, in order of path. Hidden files and folders are left out, as editors and git keep
/// their own things there; so are links to folders, which can go in circles.
pub fn collect(folder: &Path) -> Result<Vec<(PathBuf, String)>, Vec<Mistake>> {
    let mut walk = Walk::default();
    match fs::metadata(folder) {
        Ok(found) if found.is_dir() => walk.folder(folder, 0),
        Ok(_) => walk.wrong(folder, "is a file; name the folder that it is in".to_owned()),
        Err(error) => walk.wrong(folder, format!("cannot be read: {error}")),
    }
    if walk.mistakes.is_empty() { Ok(walk.files) } else { Err(walk.mistakes) }
}

/// One file, whatever its name.
pub fn single(path: &Path) -> Result<(PathBuf, String), Vec<Mistake>> {
    let mut walk = Walk::default();
    walk.file(path.to_owned());
    walk.files.pop().ok_or(walk.mistakes)
}

#[derive(Default)]
struct Walk {
    files: Vec<(PathBuf, String)>,
    mistakes: Vec<Mistake>,
    bytes: u64,
}

impl Walk {
    fn wrong(&mut self, path: &Path, message: String) {
        self.mistakes.push(Mistake::of_file(path, message));
    }

    fn folder(&mut self, folder: &Path, depth: usize) {
        if depth > MAX_DEPTH {
            return self.wrong(folder, format!("is more than {MAX_DEPTH} folders deep"));
        }
        let mut entries = match fs::read_dir(folder).and_then(Iterator::collect::<Result<Vec<_>, _>>) {
            Ok(entries) => entries,
            Err(error) => return self.wrong(folder, format!("cannot be read: {error}")),
        };
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            if entry.file_name().as_encoded_bytes().starts_with(b".") {
                continue;
            }
            let path = entry.path();
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => self.folder(&path, depth + 1),
                Ok(_) if path.extension().is_some_and(|e| e == "yaml" || e == "yml") => self.file(path),
                Ok(_) => {}
                Err(error) => self.wrong(&path, format!("cannot be read: {error}")),
            }
            if self.files.len() > MAX_FILES || self.bytes > MAX_BYTES {
                let message = format!("holds more than {MAX_FILES} YAML files, or {} MiB of them", MAX_BYTES >> 20);
                return self.wrong(folder, message);
            }
        }
    }

    fn file(&mut self, path: PathBuf) {
        // A link to a file is fine; a pipe would wait for ever.
        match fs::metadata(&path) {
            Ok(found) if found.is_file() => {}
            Ok(_) => return,
            Err(error) => return self.wrong(&path, format!("cannot be read: {error}")),
        }
        let mut bytes = Vec::new();
        let read = fs::File::open(&path).and_then(|f| f.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes));
        if let Err(error) = read {
            return self.wrong(&path, format!("cannot be read: {error}"));
        }
        if bytes.len() as u64 > MAX_FILE_BYTES {
            return self.wrong(&path, format!("is larger than {} MiB", MAX_FILE_BYTES >> 20));
        }
        self.bytes += bytes.len() as u64;
        match String::from_utf8(bytes) {
            Ok(text) => self.files.push((path, text)),
            Err(_) => self.wrong(&path, "is not UTF-8".to_owned()),
        }
    }
}

//! Lines of bounded length, as the demo's game server and the playground's media relay speak them.

use std::io;

use tokio::io::{AsyncBufRead, AsyncBufReadExt};

/// Longest line, without its end, in bytes.
pub const MAX_LINE: usize = 4096;

/// The next line without its `\n` or `\r\n`; `None` at the end of the stream, where a line without an end is dropped.
/// `InvalidData` when it is longer than [`MAX_LINE`]; never more than that is stored. Not safe to cancel.
pub async fn read_line(from: &mut (impl AsyncBufRead + Unpin)) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    loop {
        let available = from.fill_buf().await?;
        if available.is_empty() {
            return Ok(None);
        }
        let end = available.iter().position(|b| *b == b'\n');
        let part = &available[..end.unwrap_or(available.len())];
        // One more for the '\r' that does not count.
        if line.len() + part.len() > MAX_LINE + 1 {
            return Err(too_long());
        }
        line.extend_from_slice(part);
        let used = part.len() + usize::from(end.is_some());
        from.consume(used);
        if end.is_some() {
            if line.last() == Some(&b'\r') {
                line.pop();
            }
            return if line.len() > MAX_LINE { Err(too_long()) } else { Ok(Some(line)) };
        }
    }
}

fn too_long() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("a line of more than {MAX_LINE} bytes"))
}

#[cfg(test)]
mod tests {
    use tokio::io::BufReader;

    use super::*;

    async fn lines(input: &[u8], buffer: usize) -> io::Result<Vec<Vec<u8>>> {
        let mut from = BufReader::with_capacity(buffer, input);
        let mut all = Vec::new();
        while let Some(line) = read_line(&mut from).await? {
            all.push(line);
        }
        Ok(all)
    }

    #[tokio::test]
    async fn lines_are_cut_wherever_the_reads_fall() {
        for buffer in [1, 2, 3, 64] {
            let read = lines(b"one\r\n\ntwo\nunfinished", buffer).await.unwrap();
            assert_eq!(read, [b"one".to_vec(), b"".to_vec(), b"two".to_vec()], "buffer of {buffer}");
        }
    }

    #[tokio::test]
    async fn the_longest_line_passes_and_one_byte_more_does_not() {
        for end in ["\n", "\r\n"] {
            let longest = "x".repeat(MAX_LINE) + end;
            assert_eq!(lines(longest.as_bytes(), 100).await.unwrap()[0].len(), MAX_LINE);
            let longer = "x".repeat(MAX_LINE + 1) + end;
            assert_eq!(lines(longer.as_bytes(), 100).await.unwrap_err().kind(), io::ErrorKind::InvalidData);
        }
        let endless = vec![b'x'; 1 << 20];
        assert_eq!(lines(&endless, 100).await.unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}

//! Just enough RESP2 to know where a reply ends and whether it is the one asked for.
//!
//! A generator on the same machine must be cheap, so replies are measured and compared in place and never decoded into
//! values. RESP3 is not spoken: the generator never sends HELLO.

use std::borrow::Cow;

use anyhow::{Result, bail, ensure};

/// A reply larger than this is taken for garbage.
pub const REPLY_BYTES_MAX: usize = 64 << 20;

/// Length of the complete reply at the start of `buffer`, `None` while it is incomplete.
pub fn complete_len(buffer: &[u8]) -> Result<Option<usize>> {
    let mut at = 0;
    let mut replies_left = 1u64;
    while replies_left > 0 {
        let Some((header, body)) = line(buffer, at) else {
            ensure!(buffer.len() < REPLY_BYTES_MAX, "a reply of more than {REPLY_BYTES_MAX} bytes");
            return Ok(None);
        };
        replies_left -= 1;
        at = body;
        match header.first() {
            Some(b'+' | b'-' | b':') => {}
            Some(b'$') => {
                let length = number(&header[1..])?;
                if length >= 0 {
                    ensure!(length as u64 <= REPLY_BYTES_MAX as u64, "a bulk string of {length} bytes");
                    at += length as usize + 2;
                }
            }
            Some(b'*') => replies_left += number(&header[1..])?.max(0) as u64,
            _ => bail!("not a RESP2 reply: {:?}", String::from_utf8_lossy(&header[..header.len().min(40)])),
        }
        if at > buffer.len() {
            return Ok(None);
        }
    }
    Ok(Some(at))
}

/// Fails with the server's words when `reply` is an error.
pub fn refuse_error(reply: &[u8]) -> Result<()> {
    ensure!(reply.first() != Some(&b'-'), "the server answered {}", excerpt(reply));
    Ok(())
}

/// The bulk strings of a flat array of bulk strings.
pub fn bulk_strings(reply: &[u8]) -> Result<Vec<&[u8]>> {
    let Some((header, mut at)) = line(reply, 0) else { bail!("not a reply: {}", excerpt(reply)) };
    ensure!(header.first() == Some(&b'*'), "expected an array, got {}", excerpt(reply));
    let mut strings = Vec::new();
    for _ in 0..number(&header[1..])? {
        let Some((header, body)) = line(reply, at) else { bail!("an array cut short: {}", excerpt(reply)) };
        ensure!(header.first() == Some(&b'$'), "expected bulk strings, got {}", excerpt(reply));
        let length = usize::try_from(number(&header[1..])?)?;
        let Some(string) = reply.get(body..body + length) else { bail!("a string cut short: {}", excerpt(reply)) };
        strings.push(string);
        at = body + length + 2;
    }
    Ok(strings)
}

/// The start of a reply, for messages.
pub fn excerpt(reply: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(reply[..reply.len().min(120)].trim_ascii_end())
}

/// The line starting at `at` without its end, and where the next one starts.
fn line(buffer: &[u8], at: usize) -> Option<(&[u8], usize)> {
    let rest = buffer.get(at..)?;
    let end = rest.iter().position(|byte| *byte == b'\r')?;
    (rest.get(end + 1) == Some(&b'\n')).then(|| (&rest[..end], at + end + 2))
}

fn number(digits: &[u8]) -> Result<i64> {
    let text = std::str::from_utf8(digits)?;
    text.parse().map_err(|_| anyhow::anyhow!("{text:?} is not a length"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPLIES: &[&[u8]] = &[
        b"+OK\r\n",
        b"-ERR no\r\n",
        b":12\r\n",
        b"$3\r\nabc\r\n",
        b"$-1\r\n",
        b"*-1\r\n",
        b"*2\r\n$1\r\na\r\n*1\r\n:1\r\n",
    ];

    #[test]
    fn a_reply_is_complete_at_its_last_byte_and_not_before() {
        for reply in REPLIES {
            for cut in 0..reply.len() {
                assert_eq!(complete_len(&reply[..cut]).unwrap(), None, "{:?} cut at {cut}", excerpt(reply));
            }
            let followed = [*reply, b"+next\r\n"].concat();
            assert_eq!(complete_len(&followed).unwrap(), Some(reply.len()));
        }
    }

    #[test]
    fn garbage_and_endless_claims_are_refused() {
        assert!(complete_len(b"HTTP/1.1 200\r\n").is_err());
        assert!(complete_len(b"$99999999999\r\n").is_err());
        assert!(complete_len(b"$x\r\n").is_err());
    }

    #[test]
    fn bulk_strings_are_taken_out_of_an_array() {
        assert_eq!(bulk_strings(b"*2\r\n$2\r\n17\r\n$0\r\n\r\n").unwrap(), [&b"17"[..], b""]);
        assert!(bulk_strings(b"+OK\r\n").is_err());
        assert!(bulk_strings(b"*1\r\n$5\r\nab\r\n").is_err());
    }

    #[test]
    fn an_error_reply_is_reported_in_the_servers_words() {
        assert!(refuse_error(b"-ERR unknown command\r\n").unwrap_err().to_string().contains("unknown command"));
        assert!(refuse_error(b":0\r\n").is_ok());
    }
}

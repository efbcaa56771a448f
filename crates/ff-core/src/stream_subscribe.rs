//! Where a subscription resumes: an opaque cursor, and how an event id becomes one.

use bytes::Bytes;

/// The first byte of a cursor made from an event id; it keeps cursors of other kinds apart.
pub const EVENT_CURSOR_PREFIX: u8 = 0x02;

/// An opaque place in a stream: later events of one stream have byte-wise greater cursors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamCursor(pub Bytes);

impl StreamCursor {
    /// Takes the bytes as they are; the subscription refuses what it cannot read.
    #[must_use]
    pub fn new(bytes: impl Into<Bytes>) -> Self {
        Self(bytes.into())
    }

    /// The bytes to store and hand back.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The live tail: only events from now on.
    #[must_use]
    pub const fn empty() -> Self {
        Self(Bytes::new())
    }
}

/// Makes a cursor that resumes after event `event_id`; event ids are never negative.
///
/// ```
/// use ff_core::stream_subscribe::{decode_event_cursor, encode_event_cursor};
///
/// let cursor = encode_event_cursor(17);
/// assert_eq!(cursor.as_bytes(), [2, 0, 0, 0, 0, 0, 0, 0, 17]);
/// assert_eq!(decode_event_cursor(&cursor), Ok(Some(17)));
/// ```
#[must_use]
pub fn encode_event_cursor(event_id: i64) -> StreamCursor {
    debug_assert!(event_id >= 0, "event ids are never negative");
    let [a, b, c, d, e, f, g, h] = event_id.to_be_bytes();
    StreamCursor(Bytes::copy_from_slice(&[EVENT_CURSOR_PREFIX, a, b, c, d, e, f, g, h]))
}

/// Reads the event id back; an empty cursor is the live tail and gives `None`.
pub fn decode_event_cursor(cursor: &StreamCursor) -> Result<Option<i64>, &'static str> {
    let Some((&prefix, id)) = cursor.as_bytes().split_first() else { return Ok(None) };
    if prefix != EVENT_CURSOR_PREFIX {
        return Err("stream cursor is of another kind: its first byte is not 0x02");
    }
    let id = id.try_into().map_err(|_| "stream cursor is not 9 bytes long")?;
    // A negative id would sort after every other one.
    match i64::from_be_bytes(id) {
        event_id @ 0.. => Ok(Some(event_id)),
        ..0 => Err("stream cursor holds a negative event id"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_empty_cursor_is_the_live_tail() {
        assert_eq!(decode_event_cursor(&StreamCursor::empty()), Ok(None));
        assert!(StreamCursor::empty().as_bytes().is_empty());
    }

    #[test]
    fn event_ids_read_back_and_keep_their_order() {
        let ids = [0, 1, 255, 256, 1 << 40, i64::MAX];
        let cursors = ids.map(encode_event_cursor);
        for (id, cursor) in ids.iter().zip(&cursors) {
            assert_eq!(decode_event_cursor(cursor), Ok(Some(*id)));
        }
        assert!(cursors.windows(2).all(|pair| pair[0].as_bytes() < pair[1].as_bytes()));
    }

    #[test]
    fn every_other_cursor_is_refused() {
        for bytes in [
            vec![2],
            vec![2; 8],
            vec![2; 10],
            vec![1, 0, 0, 0, 0, 0, 0, 0, 1],
            vec![2, 0x80, 0, 0, 0, 0, 0, 0, 0],
            vec![2, 255, 255, 255, 255, 255, 255, 255, 255],
            vec![1; 17],
        ] {
            assert!(decode_event_cursor(&StreamCursor::new(bytes.clone())).is_err(), "{bytes:?}");
        }
    }
}

//! The gRPC frames of a request: one that is too big is refused as soon as its length is known, in etcd's words, before
//! any of it is kept.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::extract::Request;
use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tonic::Status;

/// Bytes of a message that etcd takes at all: 1.5 MiB for a request, and half a MiB for what is around it.
const MESSAGE_BYTES_MAX: usize = 2 << 20;
/// Bytes before each message: whether it is compressed, and its length.
const HEAD_BYTES: usize = 5;

/// The layer over the services' routes.
pub async fn limit(request: Request) -> Request {
    let is_grpc = |value: &HeaderValue| value.as_bytes().starts_with(b"application/grpc");
    if request.headers().get(CONTENT_TYPE).is_some_and(is_grpc) {
        request.map(|body| Body::new(Limited { body, frames: Frames::default() }))
    } else {
        request
    }
}

/// A body whose frames are watched.
struct Limited {
    body: Body,
    frames: Frames,
}

impl HttpBody for Limited {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let frame = std::task::ready!(Pin::new(&mut self.body).poll_frame(cx));
        Poll::Ready(match frame {
            Some(Ok(frame)) => match frame.data_ref().map_or(Ok(()), |data| self.frames.pass(data)) {
                Ok(()) => Some(Ok(frame)),
                Err(status) => Some(Err(status.into())),
            },
            Some(Err(error)) => Some(Err(error.into())),
            None => None,
        })
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Where in the sequence of heads and messages a body is.
#[derive(Debug, Default)]
struct Frames {
    head: [u8; HEAD_BYTES],
    /// Bytes of the head that have come.
    known: usize,
    /// Bytes of the message that are still to come.
    left: usize,
}

impl Frames {
    /// Follows the next piece of the body, however it is cut.
    fn pass(&mut self, mut data: &[u8]) -> Result<(), Status> {
        while !data.is_empty() {
            if self.left > 0 {
                let passed = self.left.min(data.len());
                self.left -= passed;
                data = &data[passed..];
                continue;
            }
            let taken = (HEAD_BYTES - self.known).min(data.len());
            self.head[self.known..self.known + taken].copy_from_slice(&data[..taken]);
            self.known += taken;
            data = &data[taken..];
            if self.known == HEAD_BYTES {
                let [_, length @ ..] = self.head;
                (self.known, self.left) = (0, u32::from_be_bytes(length) as usize);
                if self.left > MESSAGE_BYTES_MAX {
                    let text =
                        format!("grpc: received message larger than max ({} vs. {MESSAGE_BYTES_MAX})", self.left);
                    return Err(Status::resource_exhausted(text));
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(length: usize) -> Vec<u8> {
        let mut bytes = vec![0];
        bytes.extend((length as u32).to_be_bytes());
        bytes.resize(HEAD_BYTES + length, 7);
        bytes
    }

    #[test]
    fn messages_pass_however_they_are_cut() {
        let bytes = [message(0), message(3), message(MESSAGE_BYTES_MAX), message(1)].concat();
        for piece in [1, 2, 5, 7, 1 << 14, bytes.len()] {
            let mut frames = Frames::default();
            assert!(bytes.chunks(piece).all(|data| frames.pass(data).is_ok()), "pieces of {piece}");
        }
    }

    #[test]
    fn a_message_too_big_is_refused_by_its_head() {
        let bytes = [message(3), message(MESSAGE_BYTES_MAX + 1)].concat();
        for piece in [1, 4, 13] {
            let mut frames = Frames::default();
            let refused = bytes[..13].chunks(piece).find_map(|data| frames.pass(data).err()).expect("refused");
            assert_eq!(refused.code(), tonic::Code::ResourceExhausted);
            assert_eq!(refused.message(), "grpc: received message larger than max (2097153 vs. 2097152)");
        }
    }
}

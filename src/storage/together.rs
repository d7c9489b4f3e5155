//! *Owns* how a driver asks its store for several things in one round trip. *Promises* that all requests are sent, in
//! order, before any answer is awaited; for a client that sends a request when its future is first polled. *Does not* stop at
//! the first failure.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;

/// A request, sent when it is first polled.
pub type Request<'r, T> = Pin<Box<dyn Future<Output = T> + 'r>>;

/// Sends all requests before it waits for any answer. Gives the answers, in the order of the requests.
pub async fn together<T>(mut requests: Vec<Request<'_, T>>) -> Vec<T> {
    let mut answers: Vec<Option<T>> = requests.iter().map(|_| None).collect();
    poll_fn(|context| {
        let mut done = true;
        for (request, answer) in requests.iter_mut().zip(&mut answers) {
            if answer.is_none() {
                match request.as_mut().poll(context) {
                    Poll::Ready(ended) => *answer = Some(ended),
                    Poll::Pending => done = false,
                }
            }
        }
        if done { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    answers.into_iter().flatten().collect()
}

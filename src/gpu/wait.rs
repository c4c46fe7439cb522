//! How the host waits for the device: in place inside [`block_on`], and otherwise on a helper thread that wakes the
//! future, so that no executor of futures is blocked.

use super::Device;
use crate::error::{Error, GpuErrorKind, Result};

#[cfg(not(target_arch = "wasm32"))]
pub(super) use native::Helper;
#[cfg(not(target_arch = "wasm32"))]
pub use native::block_on;

/// Work that was submitted. Natively it is asked for by its number; in a browser a callback tells that it has run.
#[derive(Debug)]
pub(super) struct Submitted {
    #[cfg(not(target_arch = "wasm32"))]
    index: wgpu::SubmissionIndex,
    #[cfg(target_arch = "wasm32")]
    done: futures_intrusive::channel::shared::OneshotReceiver<()>,
}

impl Device {
    /// Submits one command buffer.
    pub(super) fn submit(&self, commands: wgpu::CommandBuffer) -> Submitted {
        #[cfg(not(target_arch = "wasm32"))]
        return Submitted { index: self.queue.submit([commands]) };
        #[cfg(target_arch = "wasm32")]
        {
            self.queue.submit([commands]);
            let (sender, done) = futures_intrusive::channel::shared::oneshot_channel();
            // The receiver is gone only if the executor is.
            self.queue.on_submitted_work_done(move || drop(sender.send(())));
            Submitted { done }
        }
    }

    /// Waits until submitted work has run. It may be asked again if the future is dropped.
    pub(super) async fn ran(&self, submitted: &Submitted, during: &str) -> Result<()> {
        #[cfg(not(target_arch = "wasm32"))]
        return self.finish(Some(submitted.index.clone()), during).await;
        #[cfg(target_arch = "wasm32")]
        {
            submitted.done.receive().await;
            self.check(during)
        }
    }

    /// Waits until a submission has run, or everything submitted if none is given. In a browser the callbacks of a
    /// submission tell that it has run: nothing waits here.
    pub(super) async fn finish(
        &self,
        submission: Option<wgpu::SubmissionIndex>,
        during: &str,
    ) -> Result<()> {
        #[cfg(not(target_arch = "wasm32"))]
        let polled = self.helper.poll(&self.device, submission).await?;
        #[cfg(target_arch = "wasm32")]
        let polled =
            self.device.poll(wgpu::PollType::Wait { submission_index: submission, timeout: None });
        let Err(e) = polled else { return Ok(()) };
        // What cannot be waited for was refused.
        self.settle(during).await?;
        let (kind, detail) = (GpuErrorKind::Internal, e.to_string());
        Err(Error::Gpu { kind, during: during.into(), detail })
    }
}

/// Lets other tasks of the thread run, unless it may block.
#[cfg(not(target_arch = "wasm32"))]
pub(super) async fn give_way() {
    let mut first = !native::blocks();
    std::future::poll_fn(|context| {
        if std::mem::take(&mut first) {
            context.waker().wake_by_ref();
            return std::task::Poll::Pending;
        }
        std::task::Poll::Ready(())
    })
    .await;
}

#[cfg(not(target_arch = "wasm32"))]
mod native {
    use crate::error::{Error, Result};
    use futures_intrusive::channel::shared::{OneshotSender, oneshot_channel};
    use std::cell::Cell;
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::sync::{Mutex, PoisonError};

    thread_local! {
        /// Whether this thread is inside `block_on`, and so may wait in place.
        static BLOCKS: Cell<bool> = const { Cell::new(false) };
    }

    /// Whether this thread may wait in place.
    pub fn blocks() -> bool {
        BLOCKS.get()
    }

    /// Runs a future to its end on this thread: the blocking form of the asynchronous calls.
    pub fn block_on<F: Future>(future: F) -> F::Output {
        /// Ends with the future, even if that panics.
        struct Inside(bool);
        impl Drop for Inside {
            fn drop(&mut self) {
                BLOCKS.set(self.0);
            }
        }
        let _inside = Inside(BLOCKS.replace(true));
        pollster::block_on(future)
    }

    type Polled = std::result::Result<wgpu::PollStatus, wgpu::PollError>;

    /// A wait that a future asks for.
    struct Request {
        device: wgpu::Device,
        submission: Option<wgpu::SubmissionIndex>,
        done: OneshotSender<Polled>,
    }

    /// The thread that waits for futures. It begins with the first one, and ends with the device.
    #[derive(Debug, Default)]
    pub(in crate::gpu) struct Helper(Mutex<Option<Sender<Request>>>);

    impl Helper {
        /// Waits for a submission.
        ///
        /// # Errors
        /// [`Error::Io`] if the system cannot start another thread.
        pub async fn poll(
            &self,
            device: &wgpu::Device,
            submission: Option<wgpu::SubmissionIndex>,
        ) -> Result<Polled> {
            if blocks() {
                return Ok(wait(device, submission));
            }
            let (done, receiver) = oneshot_channel();
            self.ask(Request { device: device.clone(), submission, done })?;
            // The thread answers every request.
            Ok(receiver.receive().await.unwrap_or(Err(wgpu::PollError::Timeout)))
        }

        fn ask(&self, request: Request) -> Result<()> {
            let mut requests = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if requests.is_none() {
                let (sender, receiver) = channel();
                std::thread::Builder::new()
                    .name("wgrad-wait".into())
                    .spawn(move || serve(&receiver))
                    .map_err(|cause| Error::Io { path: "the thread that waits".into(), cause })?;
                *requests = Some(sender);
            }
            if let Some(Err(_)) = requests.as_ref().map(|sender| sender.send(request)) {
                *requests = None;
                return Err(Error::internal("wait", "the thread that waits has ended"));
            }
            Ok(())
        }
    }

    fn wait(device: &wgpu::Device, submission_index: Option<wgpu::SubmissionIndex>) -> Polled {
        device.poll(wgpu::PollType::Wait { submission_index, timeout: None })
    }

    /// Answers requests one after the other: submissions end in order, too.
    fn serve(requests: &Receiver<Request>) {
        for Request { device, submission, done } in requests {
            let polled = wait(&device, submission);
            // Between requests the thread keeps no device alive.
            drop(device);
            // The receiver is gone only if the caller dropped the future.
            drop(done.send(polled));
        }
    }
}

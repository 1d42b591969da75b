//! The demonstration's register: a publisher and one witness in the process of the server, each with its own
//! key and folder, the publisher with its own database role. In production they are separate processes, and
//! another office runs the witness.

use crate::base::clock::Clock;
use crate::evidence::register::publish::{PublishSettings, Publisher};
use crate::evidence::register::witness::Witness;
use crate::evidence::register::witness_client::WitnessAddress;
use crate::evidence::tlog::Folder;
use crate::evidence::tlog::disk::Disk;
use crate::evidence::tlog::note::{Kind, Signer};
use crate::http::core::app::server_settings;
use crate::http::witness;
use crate::net::server::Server;
use sqlx::postgres::PgConnectOptions;
use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// A running publisher and a running witness.
pub struct Register {
    stop: Vec<oneshot::Sender<()>>,
    tasks: Vec<JoinHandle<()>>,
}

impl Register {
    /// Starts the publisher and the witness. `data_dir` contains the keys of both and the state of the
    /// witness.
    ///
    /// # Errors
    /// If a key, the witness's state or the register's folder cannot be used, for example because the folder
    /// belongs to another database, or if the witness's listener cannot be bound.
    pub async fn start(
        data_dir: &Path,
        folder: Folder,
        origin: &str,
        database: PgConnectOptions,
    ) -> Result<Self, Box<dyn Error + Send + Sync>> {
        let clock = Clock::system();
        let register_key = data_dir.join("keys/register.key");
        let begin = !register_key.exists();
        let register = Signer::load_or_create(&register_key, origin, Kind::Text)?;
        let witness_name = format!("{origin}/witness");
        let signer =
            Signer::load_or_create(&data_dir.join("keys/witness.key"), &witness_name, Kind::Cosignature)?;
        let watched = vec![register.verifier().clone()];
        let witness =
            Witness::open(&data_dir.join("witness"), Disk::system(), signer, watched, clock.clone())?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let server = Server::bind(address, server_settings()).await?;
        let url = format!("http://{}", server.local_addr());
        let settings = PublishSettings {
            keys: vec![register_key],
            origin: None,
            witnesses: vec![WitnessAddress::new(&url, witness.key().clone())?],
            witness_ca: None,
            quorum: 1,
            quick: false,
            begin,
            poll: Duration::from_millis(200),
        };
        let publisher = Publisher::open(settings, folder, database, clock)?;
        let (stop_publisher, publisher_stops) = oneshot::channel();
        let (stop_witness, witness_stops) = oneshot::channel();
        let publishing = tokio::spawn(async move {
            if let Err(error) = publisher.run(async { drop(publisher_stops.await) }).await {
                tracing::error!(%error, "the demonstration's publisher has stopped");
            }
        });
        let witnessing =
            tokio::spawn(witness::serve(Arc::new(witness), server, async { drop(witness_stops.await) }));
        Ok(Self { stop: vec![stop_publisher, stop_witness], tasks: vec![publishing, witnessing] })
    }

    /// Stops the publisher and the witness, after they finish the writes in progress.
    pub async fn stop(self) {
        for (stop, task) in self.stop.into_iter().zip(self.tasks) {
            // Sending fails if the task has ended already.
            let _ = stop.send(());
            let _ = task.await;
        }
    }
}

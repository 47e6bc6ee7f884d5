//! Sessions within a transaction of the application's.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use session_core::{Error, ErrorKind, Result};
use sqlx::Database;
use sqlx::pool::PoolConnection;
use tokio::sync::{Mutex, OwnedMutexGuard};

/// A transaction on a connection of the application's, in which its own statements and those of a store happen together or
/// not at all. `S` is the store's type.
///
/// ```no_run
/// # #[cfg(feature = "postgres")]
/// # async fn sign_up(
/// #     pool: sqlx::PgPool, store: session_sqlx::PostgresStore, sessions: session_core::Sessions<String>,
/// # ) -> Result<(), Box<dyn std::error::Error>> {
/// use session_sqlx::sqlx;
///
/// let transaction = store.begin(pool.acquire().await?).await?;
/// sqlx::query("INSERT INTO users (name) VALUES ($1)")
///     .bind("ann")
///     .execute(&mut *transaction.connection().await?)
///     .await?;
/// let new = sessions.over(transaction.store())?.create(&"ann".to_owned()).await?;
/// transaction.commit().await?; // before the id is sent to anybody
/// # Ok(()) }
/// ```
///
/// # What holds in it
/// - Nobody else sees a session that was made in it, or what became of one, before the commit.
/// - A session that was changed or ended in it is locked until then: whatever another request writes to it waits, up to its
///   lock time-out. Keep it short. On SQLite everybody else who writes waits.
/// - Logout wins as everywhere: a session that somebody else has ended meanwhile is found gone, or the transaction ends in a
///   conflict, by its isolation.
/// - Under REPEATABLE READ and SERIALIZABLE a load shows a session as it was when the transaction began to read.
/// - Any error of the store's, and any call that is dropped, ends it: the connection is closed, nothing of it was done, and
///   [`commit`](Transaction::commit) is an error. After an error of a statement of your own, drop it.
///
/// # Cancel safety
/// Dropped without a commit it closes its connection, so that the database undoes everything.
pub struct Transaction<S, D: Speaks> {
    store: S,
    lent: Lent<D>,
}

impl<S: Clone, D: Speaks> Transaction<S, D> {
    /// Begins one.
    pub(crate) async fn begin(
        connection: PoolConnection<D>,
        begin: &'static str,
        store: impl FnOnce(Lent<D>) -> S,
    ) -> Result<Transaction<S, D>> {
        let lent = Lent(Arc::new(Mutex::new(Kept(Some(connection)))));
        let mut held = lent.hold().await?;
        let begun = D::script(&mut held, begin).await;
        begun.map_err(|error| D::classified(error).with_in_doubt(false))?;
        held.give_back();
        Ok(Transaction { store: store(lent.clone()), lent })
    }

    /// The store in this transaction, for [`Sessions::over`](session_core::Sessions::over).
    pub fn store(&self) -> S {
        self.store.clone()
    }

    /// The connection, for the application's own statements. The store's wait while it is held.
    ///
    /// # Errors
    /// [`Backend`](session_core::ErrorKind::Backend) if an earlier error, or a call that was dropped, has ended the
    /// transaction.
    pub async fn connection(&self) -> Result<impl DerefMut<Target = D::Connection> + use<S, D>> {
        Ok(Lend(self.lent.hold().await?))
    }

    /// Commits, and gives the connection back to its pool.
    ///
    /// # Errors
    /// As [`connection`](Transaction::connection); and the database's, which leave in doubt what was done.
    ///
    /// # Cancel safety
    /// Dropped, it leaves in doubt whether it was committed.
    pub async fn commit(self) -> Result<()> {
        self.end("COMMIT").await
    }

    /// Undoes everything, and gives the connection back to its pool. Dropping it undoes everything, too.
    ///
    /// # Errors
    /// As [`connection`](Transaction::connection).
    pub async fn rollback(self) -> Result<()> {
        self.end("ROLLBACK").await.map_err(|error| error.with_in_doubt(false))
    }

    async fn end(self, how: &'static str) -> Result<()> {
        let mut held = self.lent.hold().await?;
        D::script(&mut held, how).await.map_err(|error| D::classified(error).with_in_doubt(true))?;
        // Back to its pool, also if a clone of the store lives on.
        drop(held.guard.0.take());
        Ok(())
    }
}

impl<S, D: Speaks> Drop for Transaction<S, D> {
    fn drop(&mut self) {
        // Where a clone of the store holds it at this moment, the last of them closes it.
        if let Ok(mut kept) = self.lent.0.try_lock() {
            kept.close();
        }
    }
}

impl<S: fmt::Debug, D: Speaks> fmt::Debug for Transaction<S, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transaction").field("store", &self.store).finish_non_exhaustive()
    }
}

/// A database of sqlx's that this crate has a store for.
pub trait Speaks: Database {
    /// Runs a statement without values.
    #[doc(hidden)]
    fn script(
        connection: &mut Self::Connection,
        sql: &'static str,
    ) -> impl Future<Output = sqlx::Result<()>> + Send;

    /// An error of it.
    #[doc(hidden)]
    fn classified(error: sqlx::Error) -> Error;
}

/// A connection that a store and the application use in turns.
pub(crate) struct Lent<D: Database>(Arc<Mutex<Kept<D>>>);

/// A connection with an open transaction, which never goes back to its pool by itself; `None` once that has ended.
struct Kept<D: Database>(Option<PoolConnection<D>>);

impl<D: Database> Kept<D> {
    /// Closes it at once, and frees its place in its pool.
    fn close(&mut self) {
        if let Some(connection) = self.0.take() {
            drop(connection.detach());
        }
    }
}

impl<D: Database> Drop for Kept<D> {
    fn drop(&mut self) {
        self.close();
    }
}

impl<D: Database> Lent<D> {
    pub(crate) async fn hold(&self) -> Result<Held<D>> {
        let guard = Arc::clone(&self.0).lock_owned().await;
        if guard.0.is_none() {
            let what = "the transaction has ended, by its commit, or by an earlier error or a call that was dropped; begin \
                        another one";
            return Err(Error::new(ErrorKind::Backend, what).with_in_doubt(false));
        }
        Ok(Held { guard, sound: false })
    }
}

impl<D: Database> Clone for Lent<D> {
    fn clone(&self) -> Lent<D> {
        Lent(Arc::clone(&self.0))
    }
}

/// The connection while it is used. Dropped by a cancelled future, or after an error, it is closed.
pub(crate) struct Held<D: Database> {
    guard: OwnedMutexGuard<Kept<D>>,
    sound: bool,
}

impl<D: Database> Held<D> {
    /// Its last answer was read to the end.
    pub(crate) fn give_back(mut self) {
        self.sound = true;
    }
}

impl<D: Database> Deref for Held<D> {
    type Target = D::Connection;

    fn deref(&self) -> &D::Connection {
        self.guard.0.as_ref().expect("it is there until it is closed")
    }
}

impl<D: Database> DerefMut for Held<D> {
    fn deref_mut(&mut self) -> &mut D::Connection {
        self.guard.0.as_mut().expect("it is there until it is closed")
    }
}

impl<D: Database> Drop for Held<D> {
    fn drop(&mut self) {
        if !self.sound {
            self.guard.close();
        }
    }
}

/// The connection while the application uses it, who sees to its own statements.
struct Lend<D: Database>(Held<D>);

impl<D: Database> Deref for Lend<D> {
    type Target = D::Connection;

    fn deref(&self) -> &D::Connection {
        &self.0
    }
}

impl<D: Database> DerefMut for Lend<D> {
    fn deref_mut(&mut self) -> &mut D::Connection {
        &mut self.0
    }
}

impl<D: Database> Drop for Lend<D> {
    fn drop(&mut self) {
        self.0.sound = true;
    }
}

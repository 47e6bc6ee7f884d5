//! How the stores of the servers' drivers are opened; session-sqlx's suite has the same ways.

use conformance::{CaseInfo, Guarantee, Kind, Namespace, Objection, Part};
use session_core::KeyFormat;

/// How a store is opened; each way is proven on its own.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Variant {
    Native,
    /// Ids stored as they are, and the other of the two forms of purge.
    Plain,
    /// The table of connect-typeorm.
    Typeorm,
    /// The same as version 1.1.4 has it, without `destroyedAt`; and the other of the two forms of purge.
    TypeormOld,
}

impl Variant {
    pub(crate) const ALL: [Variant; 4] =
        [Variant::Native, Variant::Plain, Variant::Typeorm, Variant::TypeormOld];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Variant::Native => "native",
            Variant::Plain => "native, plain ids, purge in two statements",
            Variant::Typeorm => "connect-typeorm",
            Variant::TypeormOld => "connect-typeorm without destroyedAt, purge in two statements",
        }
    }

    pub(crate) fn key_format(self) -> KeyFormat {
        if self == Variant::Native { KeyFormat::Hashed } else { KeyFormat::Plain }
    }

    pub(crate) fn limit_subquery(self) -> bool {
        matches!(self, Variant::Native | Variant::Typeorm)
    }

    pub(crate) fn is_typeorm(self) -> bool {
        matches!(self, Variant::Typeorm | Variant::TypeormOld)
    }

    /// The variant that runs the same code in a case. Plain ids are bound as text where others are bound as bytes, which
    /// concerns identity and the order of a listing; a table without `destroyedAt` keeps nothing of a destroyed session;
    /// and a purge in two statements is another purge, which is never gathered. Sequences of all operations are tried on
    /// each. Connections and their pool know no layout, and a purge of very many rows is about its form alone.
    pub(crate) fn shared(self, case: &CaseInfo, gathered: bool) -> Option<String> {
        use Guarantee::{G1, G2, G3, G8, G9, G11, G12, G14, G15, G16};
        let of_connections = match case.guarantee {
            G9 => case.name != "a_dropped_call_happens_wholly_or_not_at_all",
            G15 => case.kind == Kind::Fault,
            guarantee => guarantee == G16,
        };
        let is_large = case.name == "a_large_purge_in_batches_disturbs_no_writer";
        let is_breaking_batches = gathered && case.kind == Kind::Fault;
        let (other, own): (_, &[Guarantee]) = match (self, gathered) {
            (Variant::Native, _) => return None,
            (Variant::Typeorm, _) => {
                let is_shared = of_connections || is_large || is_breaking_batches;
                return is_shared.then(|| Variant::Native.name().to_owned());
            }
            (Variant::TypeormOld, _) if is_large => return Some(Variant::Plain.name().to_owned()),
            _ if of_connections || is_breaking_batches => return Some(Variant::Native.name().to_owned()),
            (Variant::Plain, false) => (Variant::Native, &[G1, G2, G11, G14, G15]),
            (Variant::Plain, true) => (Variant::Native, &[G1, G2, G15]),
            (Variant::TypeormOld, false) => (Variant::Typeorm, &[G2, G3, G11, G12, G15]),
            (Variant::TypeormOld, true) => (Variant::Typeorm, &[G3, G12, G15]),
        };
        let is_own = match case.kind {
            Kind::Single => own.contains(&case.guarantee) || case.guarantee == G8,
            Kind::Model => case.guarantee == G8 || own.contains(&case.guarantee),
            Kind::Concurrent => !gathered && matches!(case.guarantee, G8 | G11),
            Kind::Fault => false,
        };
        (!is_own).then(|| other.name().to_owned())
    }

    /// The column of a part, where the table has it.
    pub(crate) fn column(self, part: Part) -> Option<&'static str> {
        match (part, self.is_typeorm()) {
            (Part::Payload, true) => Some("json"),
            (Part::Expiry, true) => Some("expiredAt"),
            (_, true) => None,
            (Part::Payload, false) => Some("payload"),
            (Part::Expiry, false) => Some("expires_at"),
            (Part::Creation, false) => Some("created_at"),
            (Part::Version, false) => Some("version"),
            (Part::Principal, false) => Some("principal"),
        }
    }

    /// The columns of the id and of the payload.
    pub(crate) fn columns(self) -> [&'static str; 2] {
        if self.is_typeorm() { ["id", "json"] } else { ["key", "payload"] }
    }
}

/// What lets Postgres object to rows. What [`no_objection`] undoes besides the table is made for triggers alone.
#[cfg(feature = "postgres")]
pub(crate) fn objection_of_postgres(objection: Objection, table: &Namespace, payload: &str) -> String {
    let objectionable = format!("\"{payload}\" LIKE '{}%'", Objection::WORD);
    // The rows that are there may stay as they are.
    let check = |rule: String| format!("ALTER TABLE \"{table}\" ADD CHECK ({rule}) NOT VALID");
    match objection {
        Objection::Constraint => check(format!("NOT ({objectionable})")),
        Objection::Conversion => {
            check(format!("CASE WHEN {objectionable} THEN \"{payload}\"::uuid IS NOT NULL ELSE true END"))
        }
        // A code of its own, beside the usual ones.
        Objection::Trigger => format!(
            "CREATE FUNCTION \"{table}_objects\"() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
             IF NEW.{objectionable} THEN RAISE check_violation USING MESSAGE = 'no: ' || NEW.\"{payload}\"; END IF; \
             RETURN NEW; END $$; \
             CREATE TRIGGER objects BEFORE INSERT OR UPDATE ON \"{table}\" \
             FOR EACH ROW EXECUTE FUNCTION \"{table}_objects\"()"
        ),
    }
}

/// Removes what is not removed with the table.
#[cfg(feature = "postgres")]
pub(crate) fn no_objection(table: &Namespace) -> String {
    format!("DROP FUNCTION IF EXISTS \"{table}_objects\"()")
}

/// What lets MySQL and MariaDB object to rows: the statements, one by one.
#[cfg(feature = "mysql")]
pub(crate) fn objection_of_mysql(objection: Objection, table: &Namespace, payload: &str) -> Vec<String> {
    let triggers = |declare: &str, objects: &str| {
        let body = format!(
            "FOR EACH ROW BEGIN DECLARE {declare}; IF NEW.`{payload}` LIKE '{}%' THEN {objects}; END IF; END",
            Objection::WORD
        );
        ["INSERT", "UPDATE"]
            .map(|on| format!("CREATE TRIGGER `{table}_{on}` BEFORE {on} ON `{table}` {body}"))
            .to_vec()
    };
    match objection {
        // Its other constraints quote nothing.
        Objection::Constraint => {
            vec![format!("ALTER TABLE `{table}` ADD UNIQUE INDEX objects (`{payload}`(100))")]
        }
        Objection::Conversion => triggers("parsed date", &format!("SET parsed = NEW.`{payload}`")),
        Objection::Trigger => triggers(
            "said varchar(128)",
            &format!(
                "SET said = LEFT(NEW.`{payload}`, 128); SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = said, \
                 MYSQL_ERRNO = 3819"
            ),
        ),
    }
}

/// Whether the server is the suite's own, so that nobody else minds what is set on it.
pub(crate) fn is_our_own_server() -> bool {
    std::env::var("CONFORMANCE_CONTROL").is_ok_and(|address| !address.is_empty())
}

/// The password of a URL.
pub(crate) fn password_of(url: &str) -> Option<String> {
    let authority = url.split_once("://")?.1.split(['/', '?']).next()?;
    let (user, _) = authority.rsplit_once('@')?;
    user.split_once(':').map(|(_, password)| password.to_owned()).filter(|password| password.len() > 3)
}

/// The connections of a store of these tests.
pub(crate) const POOL: usize = 10;

/// The host and port of a URL.
pub(crate) fn host_of(url: &str) -> Option<&str> {
    let after_scheme = url.split_once("://")?.1;
    let authority = after_scheme.split(['/', '?']).next()?;
    Some(authority.rsplit_once('@').map_or(authority, |(_, host)| host))
}

/// A URL with another database.
#[cfg(feature = "postgres")]
pub(crate) fn with_database(url: &str, database: &str) -> String {
    let (address, query) = url.split_once('?').map_or((url, None), |(address, query)| (address, Some(query)));
    let scheme = address.find("://").map_or(0, |at| at + 3);
    let server = address[scheme..].find('/').map_or(address, |at| &address[..scheme + at]);
    let query = query.map(|query| format!("?{query}")).unwrap_or_default();
    format!("{server}/{database}{query}")
}

/// A URL with another host and port.
pub(crate) fn with_host(url: &str, host: &str) -> String {
    match host_of(url) {
        Some(old) => url.replacen(old, host, 1),
        None => url.to_owned(),
    }
}

//! What the doctor says.

/// What [`Store::diagnose`](crate::contract::Store::diagnose) found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// What was found, in one sentence.
    pub what: String,
    /// How to mend it, in one sentence or one statement; empty for [`Severity::Note`].
    pub remedy: String,
}

/// How bad a [`Finding`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// A fact worth knowing, such as the server's version.
    Note,
    /// It works, but slowly, or not for long.
    Warning,
    /// A guarantee is broken.
    Fault,
}

impl Finding {
    /// A fact worth knowing.
    pub fn note(what: impl Into<String>) -> Finding {
        Finding { severity: Severity::Note, what: what.into(), remedy: String::new() }
    }

    /// Something that works, but slowly, or not for long.
    pub fn warning(what: impl Into<String>, remedy: impl Into<String>) -> Finding {
        Finding { severity: Severity::Warning, what: what.into(), remedy: remedy.into() }
    }

    /// Something that breaks a guarantee.
    pub fn fault(what: impl Into<String>, remedy: impl Into<String>) -> Finding {
        Finding { severity: Severity::Fault, what: what.into(), remedy: remedy.into() }
    }
}

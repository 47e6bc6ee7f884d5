//! The backend's test program.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read as _, Seek as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::faults::Fault;
use crate::results::Verdict;

/// A case that opens a store, and hardly more.
const OPENS: &str = "G2::a_key_without_a_row_is_free";

/// A run that takes longer hangs: the longest right one takes a third of it.
const LIMIT: Duration = Duration::from_secs(240);

/// What is drawn by lot is the same in each run, so that a fault that is found is found again.
const SEED: &str = "--seed=19";

pub(crate) struct Suite {
    program: PathBuf,
    backend: String,
    /// In the order of the program.
    variants: Vec<String>,
    /// What the program prints.
    output: File,
}

impl Suite {
    pub(crate) fn new(program: &Path, backend: &str) -> Result<Suite> {
        let list = Command::new(program).arg("--list").output();
        let list = list.with_context(|| format!("{} cannot be run", program.display()))?;
        let mut variants: Vec<String> = Vec::new();
        for line in String::from_utf8_lossy(&list.stdout).lines() {
            let mut parts = line.split("::");
            if let (Some(name), Some(variant)) = (parts.next(), parts.next())
                && name == backend
                && !variant.ends_with("+gathered")
                && !variants.iter().any(|known| known == variant)
            {
                variants.push(variant.to_owned());
            }
        }
        if variants.is_empty() {
            bail!("{} has no case of {backend}", program.display());
        }
        let path = std::env::temp_dir().join(format!("session-mutants-{}", std::process::id()));
        let output = File::options().create(true).truncate(true).read(true).write(true).open(&path)?;
        // It is needed by nobody else.
        fs::remove_file(&path)?;
        Ok(Suite { program: program.to_owned(), backend: backend.to_owned(), variants, output })
    }

    /// The faults of the statements and settings that the stores of each variant have.
    pub(crate) fn faults_of_statements(&self) -> Result<Vec<Fault>> {
        let mut faults: BTreeMap<String, Fault> = BTreeMap::new();
        for variant in &self.variants {
            let list = std::env::temp_dir().join(format!("session-mutants-list-{}", std::process::id()));
            let mut command = self.command(&format!("{}::{variant}::{OPENS}", self.backend));
            command.arg("--thorough").env("SESSION_STORE_MUTANTS_LIST", &list);
            let ended = self.end_of(command);
            let text = fs::read_to_string(&list).unwrap_or_default();
            drop(fs::remove_file(&list));
            if !ended?.is_some_and(|status| status.success()) {
                bail!("the suite fails without any fault: {}", self.said());
            }
            for (id, what) in text.lines().filter_map(|line| line.split_once('\t')) {
                let new =
                    || Fault { id: id.to_owned(), what: what.replace('\t', ": "), variants: Vec::new() };
                faults.entry(id.to_owned()).or_insert_with(new).variants.push(variant.clone());
            }
        }
        Ok(faults.into_values().collect())
    }

    /// Runs without any fault.
    ///
    /// # Errors
    /// If a case fails: nothing could then be said of the faults.
    pub(crate) fn accuses_nobody(&self) -> Result<()> {
        for filter in self.filters(&self.variants) {
            let begun = Instant::now();
            match self.end_of(self.command(&filter))? {
                Some(status) if status.success() => {
                    println!("{filter} passes in {} s", begun.elapsed().as_secs())
                }
                Some(_) => bail!("{filter} fails without any fault: {}", self.said()),
                None => bail!("{filter} does not end within {} s without any fault", LIMIT.as_secs()),
            }
        }
        Ok(())
    }

    /// Runs with a fault, until a case fails.
    pub(crate) fn examine(&self, fault: &Fault) -> Verdict {
        let variants = if fault.variants.is_empty() { &self.variants } else { &fault.variants };
        for filter in self.filters(variants) {
            let mut command = self.command(&filter);
            command.env("SESSION_STORE_MUTANT", &fault.id);
            match self.end_of(command) {
                Ok(Some(status)) if status.success() => {}
                Ok(Some(_)) => return Verdict::Found(self.first_failure()),
                Ok(None) => return Verdict::Found(format!("{filter}, which does not end")),
                Err(error) => return Verdict::Found(format!("{filter}, which cannot be run: {error}")),
            }
        }
        Verdict::NotFound
    }

    /// What selects the cases of these variants: each call by itself, and gathered.
    fn filters(&self, variants: &[String]) -> Vec<String> {
        let modes =
            |variant: &String| ["", "+gathered"].map(|mode| format!("{}::{variant}{mode}::", self.backend));
        variants.iter().flat_map(modes).collect()
    }

    fn command(&self, filter: &str) -> Command {
        let mut command = Command::new(&self.program);
        command.args([SEED, "--fail-fast", filter]);
        command
    }

    /// Runs it to its end. `None` if that does not come.
    fn end_of(&self, mut command: Command) -> Result<Option<ExitStatus>> {
        self.output.set_len(0)?;
        (&self.output).rewind()?;
        command.stdin(Stdio::null()).stdout(self.output.try_clone()?).stderr(self.output.try_clone()?);
        let mut child = command.spawn()?;
        let end = Instant::now() + LIMIT;
        loop {
            if let Some(status) = child.try_wait()? {
                return Ok(Some(status));
            }
            if Instant::now() > end {
                child.kill()?;
                child.wait()?;
                return Ok(None);
            }
            sleep(Duration::from_millis(20));
        }
    }

    /// What it printed.
    fn said(&self) -> String {
        let mut text = Vec::new();
        _ = (&self.output).rewind().and_then(|()| (&self.output).read_to_end(&mut text));
        String::from_utf8_lossy(&text).into_owned()
    }

    fn first_failure(&self) -> String {
        let said = self.said();
        let told = said.lines().find_map(|line| Some(line.split_once("first failure: ")?.1));
        // It may have ended in another way.
        let told = told.or_else(|| said.lines().rfind(|line| !line.trim().is_empty()));
        told.unwrap_or("a program that ended without a word").chars().take(200).collect()
    }
}

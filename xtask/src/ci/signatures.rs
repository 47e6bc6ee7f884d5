//! No type of a driver in a public signature: the driver could otherwise not be changed without breaking users.

use std::collections::BTreeSet;

use anyhow::Result;
use syn::visit::{self, Visit};
use syn::{Fields, ImplItem, Item, Signature, TraitItem, Type, UseTree, Visibility};

use super::source::{self, Source};
use super::{Counts, dependencies};

/// The crates whose public items are looked at.
const CRATES: &[&str] = &[".", "session-core", "session-sqlite", "session-diesel", "session-mssql"];

/// Where a driver's type is the point: what a user who already has a pool or a connection hands over. Each is documented
/// as bound to the driver's version. File, item, why.
const ALLOWED: &[(&str, &str, &str)] = &[
    ("session-diesel/src/lib.rs", "pub use diesel", SAME_VERSION),
    ("session-diesel/src/lib.rs", "pub use diesel_async", SAME_VERSION),
    ("session-mssql/src/lib.rs", "pub use tiberius", SAME_VERSION),
    ("session-diesel/src/mysql/builder.rs", "MysqlBuilder::pool", "the application's own pool"),
    ("session-diesel/src/postgres/builder.rs", "PostgresBuilder::pool", "the application's own pool"),
    ("session-mssql/src/pool.rs", "Manager", "for the application's own pool: its errors are the driver's"),
    (
        "session-mssql/src/pool.rs",
        "Manager::new",
        "the driver's configuration, which has more than a URL can say",
    ),
];

const SAME_VERSION: &str = "so that users of the items below can name the version that they take";

pub(super) fn check(_: &crate::workspace::Metadata) -> Result<Counts> {
    let sources = source::read(CRATES)?;
    let mut findings = Vec::new();
    let mut excused = BTreeSet::new();
    for krate in CRATES {
        let sources: Vec<_> = sources.iter().filter(|source| belongs(source, krate)).collect();
        let public = sources.iter().flat_map(|source| public_types(&source.syntax.items)).collect();
        for source in sources {
            for finding in examine(&source.syntax, &public) {
                let path = source.path.to_string_lossy();
                let excuse =
                    ALLOWED.iter().position(|(file, item, _)| path == *file && finding.item == *item);
                match excuse {
                    Some(excuse) => drop(excused.insert(excuse)),
                    None => findings.push(format!(
                        "{path}:{}: `{}` shows `{}` of a driver",
                        finding.line, finding.item, finding.name
                    )),
                }
            }
        }
    }
    for (_, (file, item, _)) in ALLOWED.iter().enumerate().filter(|(index, _)| !excused.contains(index)) {
        findings.push(format!("{file}: `{item}` no longer shows a driver's type: take it off the list"));
    }
    Ok(Counts::of_findings(&findings))
}

fn belongs(source: &Source, krate: &str) -> bool {
    source.path.starts_with(if krate == "." { "src" } else { krate })
}

/// A driver's type in a public place.
#[derive(Debug, PartialEq, Eq)]
struct Finding {
    line: usize,
    /// `Store::from_pool`, or the name of the item.
    item: String,
    name: String,
}

fn is_public(visibility: &Visibility) -> bool {
    matches!(visibility, Visibility::Public(_))
}

/// The names of types that the crate makes public, in whatever module. (The lint `unreachable_pub` sees to it that what is
/// written `pub` is.)
fn public_types(items: &[Item]) -> Vec<String> {
    let mut names = Vec::new();
    for item in items.iter().filter(|item| !source::is_test(source::attributes(item))) {
        match item {
            Item::Struct(item) if is_public(&item.vis) => names.push(item.ident.to_string()),
            Item::Enum(item) if is_public(&item.vis) => names.push(item.ident.to_string()),
            Item::Mod(item) => {
                names.extend(item.content.iter().flat_map(|(_, items)| public_types(items)));
            }
            _ => {}
        }
    }
    names
}

fn examine(file: &syn::File, public: &BTreeSet<String>) -> Vec<Finding> {
    let mut examiner = Examiner { driver_names: driver_names(file), public, findings: Vec::new() };
    examiner.items(&file.items);
    examiner.findings
}

/// The names by which the file knows drivers and their types: the crates themselves and what it imports of them.
fn driver_names(file: &syn::File) -> BTreeSet<String> {
    struct Imports(BTreeSet<String>);
    impl<'ast> Visit<'ast> for Imports {
        fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
            if let UseTree::Path(path) = &item.tree
                && is_driver(&path.ident.to_string())
            {
                imported(&path.tree, &path.ident.to_string(), &mut self.0);
            }
        }
    }
    let mut imports = Imports(dependencies::DRIVERS.iter().map(|name| name.replace('-', "_")).collect());
    imports.visit_file(file);
    imports.0
}

fn is_driver(name: &str) -> bool {
    dependencies::DRIVERS.iter().any(|driver| driver.replace('-', "_") == name)
}

fn imported(tree: &UseTree, parent: &str, names: &mut BTreeSet<String>) {
    match tree {
        UseTree::Path(path) => imported(&path.tree, &path.ident.to_string(), names),
        UseTree::Name(name) if name.ident == "self" => drop(names.insert(parent.to_owned())),
        UseTree::Name(name) => drop(names.insert(name.ident.to_string())),
        UseTree::Rename(rename) => drop(names.insert(rename.rename.to_string())),
        UseTree::Group(group) => group.items.iter().for_each(|tree| imported(tree, parent, names)),
        UseTree::Glob(_) => {}
    }
}

struct Examiner<'a> {
    driver_names: BTreeSet<String>,
    public: &'a BTreeSet<String>,
    findings: Vec<Finding>,
}

impl Examiner<'_> {
    fn items(&mut self, items: &[Item]) {
        for item in items.iter().filter(|item| !source::is_test(source::attributes(item))) {
            self.item(item);
        }
    }

    fn item(&mut self, item: &Item) {
        match item {
            Item::Fn(item) if is_public(&item.vis) => self.signature("", &item.sig),
            Item::Struct(item) if is_public(&item.vis) => {
                let name = item.ident.to_string();
                self.generics(&name, &item.generics);
                self.fields(&name, &item.fields, false);
            }
            Item::Enum(item) if is_public(&item.vis) => {
                for variant in &item.variants {
                    self.fields(&format!("{}::{}", item.ident, variant.ident), &variant.fields, true);
                }
            }
            Item::Type(item) if is_public(&item.vis) => self.ty(&item.ident.to_string(), &item.ty),
            Item::Const(item) if is_public(&item.vis) => self.ty(&item.ident.to_string(), &item.ty),
            Item::Static(item) if is_public(&item.vis) => self.ty(&item.ident.to_string(), &item.ty),
            Item::Trait(item) if is_public(&item.vis) => self.in_trait(item),
            Item::Use(item) if is_public(&item.vis) => self.reexport(item),
            Item::Impl(item) => self.in_impl(item),
            Item::Mod(item) => {
                if let Some((_, items)) = &item.content {
                    self.items(items);
                }
            }
            _ => {}
        }
    }

    fn in_trait(&mut self, item: &syn::ItemTrait) {
        let name = item.ident.to_string();
        for bound in &item.supertraits {
            self.look(&name, |search| search.visit_type_param_bound(bound));
        }
        for item in &item.items {
            match item {
                TraitItem::Fn(function) => self.signature(&name, &function.sig),
                TraitItem::Type(item) => self.look(&name, |search| search.visit_trait_item_type(item)),
                _ => {}
            }
        }
    }

    fn in_impl(&mut self, item: &syn::ItemImpl) {
        let name = match &*item.self_ty {
            Type::Path(path) => {
                path.path.segments.last().map(|last| last.ident.to_string()).unwrap_or_default()
            }
            _ => String::new(),
        };
        match &item.trait_ {
            None => {
                for item in &item.items {
                    match item {
                        ImplItem::Fn(function) if is_public(&function.vis) => {
                            self.signature(&name, &function.sig)
                        }
                        ImplItem::Const(item) if is_public(&item.vis) => {
                            self.ty(&format!("{name}::{}", item.ident), &item.ty);
                        }
                        _ => {}
                    }
                }
            }
            // A private type may implement what it likes; so may a public one implement the driver's own traits only
            // if that is on the list.
            Some((_, path, _)) if self.public.contains(&name) => {
                self.look(&name, |search| search.visit_path(path));
                for item in &item.items {
                    if let ImplItem::Type(item) = item {
                        self.ty(&name, &item.ty);
                    }
                }
            }
            Some(_) => {}
        }
    }

    fn reexport(&mut self, item: &syn::ItemUse) {
        let line = item.use_token.span.start().line;
        let mut trees = vec![&item.tree];
        while let Some(tree) = trees.pop() {
            let name = match tree {
                UseTree::Path(path) => path.ident.to_string(),
                UseTree::Name(name) => name.ident.to_string(),
                UseTree::Rename(rename) => rename.ident.to_string(),
                UseTree::Group(group) => {
                    trees.extend(&group.items);
                    continue;
                }
                UseTree::Glob(_) => continue,
            };
            if is_driver(&name) {
                let item = format!("pub use {name}");
                self.findings.push(Finding { line, item, name });
            }
        }
    }

    fn signature(&mut self, owner: &str, signature: &Signature) {
        let name = if owner.is_empty() {
            signature.ident.to_string()
        } else {
            format!("{owner}::{}", signature.ident)
        };
        self.look(&name, |search| search.visit_signature(signature));
    }

    fn generics(&mut self, item: &str, generics: &syn::Generics) {
        self.look(item, |search| search.visit_generics(generics));
    }

    /// The fields of a variant are as public as the enum.
    fn fields(&mut self, item: &str, fields: &Fields, all: bool) {
        for field in fields.iter().filter(|field| all || is_public(&field.vis)) {
            self.ty(item, &field.ty);
        }
    }

    fn ty(&mut self, item: &str, ty: &Type) {
        self.look(item, |search| search.visit_type(ty));
    }

    fn look(&mut self, item: &str, visit: impl FnOnce(&mut Search<'_>)) {
        let mut search = Search { driver_names: &self.driver_names, found: None };
        visit(&mut search);
        if let Some((line, name)) = search.found {
            self.findings.push(Finding { line, item: item.to_owned(), name });
        }
    }
}

/// Looks for a path that begins with a driver's name.
struct Search<'a> {
    driver_names: &'a BTreeSet<String>,
    found: Option<(usize, String)>,
}

impl<'ast> Visit<'ast> for Search<'_> {
    fn visit_path(&mut self, path: &'ast syn::Path) {
        if let Some(first) = path.segments.first() {
            let name = first.ident.to_string();
            if self.driver_names.contains(&name) {
                let name = path
                    .segments
                    .iter()
                    .map(|segment| segment.ident.to_string())
                    .collect::<Vec<_>>()
                    .join("::");
                self.found.get_or_insert((first.ident.span().start().line, name));
            }
        }
        visit::visit_path(self, path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(code: &str) -> Vec<String> {
        let file = syn::parse_file(code).expect("it parses");
        let public = public_types(&file.items).into_iter().collect();
        examine(&file, &public)
            .into_iter()
            .map(|finding| format!("{} {}", finding.item, finding.name))
            .collect()
    }

    #[test]
    fn drivers_types_in_public_places_are_found() {
        let code = "
            use tiberius::{Client as C, error::Error};
            pub struct Store { pub client: Option<C>, inner: C }
            pub enum Fault { Driver(Error), Other }
            impl Store {
                pub fn open(config: rusqlite::Config) -> Self { todo() }
                pub fn run(f: impl Fn(&mut C)) {}
            }
            impl From<Error> for Fault {}
            pub use tokio_postgres::Row;
            pub use {deadpool, tiberius};
            pub type Pool = Vec<diesel_async::AsyncPgConnection>;
        ";
        let expected = [
            "Store C",
            "Fault::Driver Error",
            "Store::open rusqlite::Config",
            "Store::run C",
            "Fault Error",
            "pub use tokio_postgres tokio_postgres",
            "pub use tiberius tiberius",
            "Pool diesel_async::AsyncPgConnection",
        ];
        assert_eq!(found(code), expected);
    }

    #[test]
    fn what_nobody_outside_sees_is_free() {
        let code = "
            use tiberius::Client;
            pub struct Store { inner: Client }
            struct Private;
            pub(crate) struct Half(pub(crate) Client);
            impl From<tiberius::Error> for Private {}
            impl Store {
                fn f(&self) -> &Client { todo() }
                pub(crate) fn g(&self) -> Client { todo() }
                pub fn h(&self, client: String) { let c: Client = todo(); }
            }
            #[cfg(test)]
            mod tests { pub fn t(c: tiberius::Client) {} }
        ";
        assert_eq!(found(code), Vec::<String>::new());
    }
}

//! The workspace's source code, as far as it is compiled into libraries.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use syn::{Attribute, Meta};

use crate::workspace;

/// A parsed file.
pub(super) struct Source {
    /// From the workspace's folder.
    pub(super) path: PathBuf,
    pub(super) syntax: syn::File,
}

/// All files below the `src` of these folders of the workspace.
pub(super) fn read(folders: &[&str]) -> Result<Vec<Source>> {
    let root = workspace::root();
    let mut files = Vec::new();
    for folder in folders {
        collect(&root.join(folder).join("src"), &mut files)?;
    }
    files.sort();
    files
        .into_iter()
        .map(|file| {
            let text =
                fs::read_to_string(&file).with_context(|| format!("{} cannot be read", file.display()))?;
            let syntax =
                syn::parse_file(&text).with_context(|| format!("{} cannot be parsed", file.display()))?;
            let path = file.strip_prefix(&root).unwrap_or(&file).to_path_buf();
            Ok(Source { path, syntax })
        })
        .collect()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("{} cannot be read", folder.display()))? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default();
        if path.is_dir() && name != "tests" {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") && name != "tests.rs" {
            files.push(path);
        }
    }
    Ok(())
}

/// Whether `#[cfg(test)]` stands there.
pub(super) fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| match &attribute.meta {
        Meta::List(list) if list.path.is_ident("cfg") => list.tokens.to_string() == "test",
        Meta::Path(path) => path.segments.last().is_some_and(|segment| segment.ident == "test"),
        _ => false,
    })
}

/// The attributes of an item.
pub(super) fn attributes(item: &syn::Item) -> &[Attribute] {
    match item {
        syn::Item::Const(item) => &item.attrs,
        syn::Item::Enum(item) => &item.attrs,
        syn::Item::Fn(item) => &item.attrs,
        syn::Item::Impl(item) => &item.attrs,
        syn::Item::Macro(item) => &item.attrs,
        syn::Item::Mod(item) => &item.attrs,
        syn::Item::Static(item) => &item.attrs,
        syn::Item::Struct(item) => &item.attrs,
        syn::Item::Trait(item) => &item.attrs,
        syn::Item::Type(item) => &item.attrs,
        syn::Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

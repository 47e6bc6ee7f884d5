//! The table, as a migration has it: TypeORM's, but for columns that hold every character, and one that keeps ids apart
//! which differ in trailing blanks. It is computed, so that Node, which knows nothing of it, can write the table.

use session_core::TableName;
use session_sql::ConnectTypeorm;

use crate::shared::{EXACT, quoted_table};

pub(super) fn schema(table: &TableName, names: &ConnectTypeorm) -> String {
    let (t, id, length) = (quoted_table(table), names.id(), length_column(names));
    let destroyed_at = match names.has_destroyed_at() {
        true => format!("[{}] datetime2 NULL,\n    ", names.destroyed_at()),
        false => String::new(),
    };
    format!(
        "CREATE TABLE {t} (\n    \
         [{}] bigint NOT NULL,\n    \
         [{id}] nvarchar(255) {EXACT} NOT NULL,\n    \
         [{}] nvarchar(max) NOT NULL,\n    \
         {destroyed_at}\
         [{length}] AS CAST(DATALENGTH([{id}]) AS int) PERSISTED NOT NULL,\n    \
         CONSTRAINT [{}] PRIMARY KEY CLUSTERED ([{id}], [{length}])\n\
         );\n\
         {};\n",
        names.expired_at(),
        names.json(),
        names.primary_key_name(table),
        index(table, names),
    )
}

/// The statement that makes its index.
pub(super) fn index(table: &TableName, names: &ConnectTypeorm) -> String {
    format!(
        "CREATE INDEX [{}] ON {} ([{}])",
        names.index_name(table),
        quoted_table(table),
        names.expired_at()
    )
}

/// The column that holds the id's length.
pub(super) fn length_column(names: &ConnectTypeorm) -> String {
    format!("{}_bytes", names.id())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_holds_every_text_and_has_typeorm_s_names() {
        let schema = schema(&TableName::new("web.session").unwrap(), &ConnectTypeorm::new());
        assert!(schema.contains("[id] nvarchar(255) COLLATE Latin1_General_BIN2 NOT NULL"), "{schema}");
        assert!(schema.contains("[json] nvarchar(max) NOT NULL"), "{schema}");
        assert!(schema.contains("[destroyedAt] datetime2 NULL"), "{schema}");
        assert!(schema.contains(
            "CONSTRAINT [PK_f55da76ac1c3ac420f444d2ff11] PRIMARY KEY CLUSTERED ([id], [id_bytes])"
        ));
        assert!(
            schema.contains("CREATE INDEX [IDX_28c5d1d16da7908c97c9bc2f74] ON [web].[session] ([expiredAt])")
        );
    }

    #[test]
    fn the_entity_without_the_mark_is_made_without_it() {
        let names = ConnectTypeorm::new().without_destroyed_at();
        let schema = schema(&TableName::new("session").unwrap(), &names);
        assert!(!schema.contains("destroyedAt"), "{schema}");
    }
}

//! What commands print: tables for people; JSON, YAML and names for programs.

use serde_json::Value;

use crate::failure::Failure;

/// The form of an answer, as `-o` chooses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    Table,
    /// A table with more columns.
    Wide,
    Json,
    Yaml,
    /// `kind/name`, one a line.
    Name,
}

#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Output {
    /// How to print
    #[arg(short, long, value_enum, default_value = "table")]
    pub output: Format,
}

/// Columns aligned by blanks, three between them, as kubectl prints them.
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub fn new(header: &[&str]) -> Table {
        Table { rows: vec![header.iter().map(|title| (*title).to_owned()).collect()] }
    }

    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    pub fn render(&self) -> String {
        let mut widths: Vec<usize> = Vec::new();
        for row in &self.rows {
            for (column, cell) in row.iter().enumerate() {
                let width = cell.chars().count();
                match widths.get_mut(column) {
                    Some(known) => *known = width.max(*known),
                    None => widths.push(width),
                }
            }
        }
        let mut text = String::new();
        for row in &self.rows {
            let mut line = String::new();
            for (cell, width) in row.iter().zip(&widths) {
                line.push_str(cell);
                line.push_str(&" ".repeat(width + 3 - cell.chars().count()));
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

/// Prints objects as kubectl does: a `List` whose items say their kinds.
pub fn list<K: proto::Root>(objects: &[K], format: Format) -> Result<(), Failure> {
    let items: Result<Vec<Value>, _> =
        objects.iter().map(|object| serde_json::from_slice(&proto::json::to_vec(object))).collect();
    let items = items.map_err(Failure::failed)?;
    value(&serde_json::json!({"apiVersion": "v1", "kind": "List", "items": items}), format)
}

/// Prints a JSON value in the given machine form.
pub fn value(value: &Value, format: Format) -> Result<(), Failure> {
    match format {
        Format::Yaml => {
            let text = serde_saphyr::to_string(value).map_err(Failure::failed)?;
            print!("{}", text.trim_end());
            println!();
        }
        _ => println!("{}", serde_json::to_string_pretty(value).map_err(Failure::failed)?),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_without_trailing_blanks() {
        let mut table = Table::new(&["NAME", "STATUS"]);
        table.row(["pi".into(), "Complete".into()]);
        table.row(["a-long-name".into(), String::new()]);
        assert_eq!(table.render(), "NAME          STATUS\npi            Complete\na-long-name\n");
    }
}

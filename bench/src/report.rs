//! The figures, as a table for people or as JSON.

use std::io::Write;

use serde_json::{Map, Value, json};

use crate::Result;

/// One measured number.
#[derive(Debug, Clone)]
pub(crate) struct Figure {
    name: String,
    value: f64,
    unit: &'static str,
}

impl Figure {
    pub(crate) fn new(name: &str, value: f64, unit: &'static str) -> Self {
        Self { name: name.to_owned(), value, unit }
    }

    /// Megabytes, not a number where they are not known.
    pub(crate) fn megabytes(name: &str, value: Option<f64>) -> Self {
        Self::new(name, value.unwrap_or(f64::NAN), "MB")
    }
}

/// All figures of a run: the machine's, and one column per endpoint.
#[derive(Debug, Default)]
pub(crate) struct Report {
    floor: Vec<Figure>,
    rows: Vec<(String, &'static str, Vec<f64>)>,
}

impl Report {
    pub(crate) fn floor(&mut self, figure: Figure) {
        self.floor.push(figure);
    }

    /// Adds a figure to an endpoint's column; one that is not known is left out.
    pub(crate) fn figure(&mut self, column: usize, figure: Figure) {
        if figure.value.is_nan() {
            return;
        }
        if !self.rows.iter().any(|(name, _, _)| *name == figure.name) {
            self.rows.push((figure.name.clone(), figure.unit, Vec::new()));
        }
        if let Some((_, _, values)) = self.rows.iter_mut().find(|(name, _, _)| *name == figure.name)
        {
            values.resize(column.max(values.len()), f64::NAN);
            values.push(figure.value);
        }
    }

    pub(crate) fn print(&self, urls: &[String], as_json: bool) -> Result<()> {
        let mut out = std::io::stdout().lock();
        if as_json {
            writeln!(out, "{:#}", self.json(urls))?;
            return Ok(());
        }
        if !self.floor.is_empty() {
            writeln!(out, "the machine's floor")?;
            for figure in &self.floor {
                writeln!(out, "  {:<60}{:>12} {}", figure.name, shown(figure.value), figure.unit)?;
            }
        }
        if self.rows.is_empty() {
            return Ok(());
        }
        for (number, url) in urls.iter().enumerate() {
            writeln!(out, "{} {url}", if number == 0 { "measured:" } else { "against: " })?;
        }
        for (name, unit, values) in &self.rows {
            write!(out, "  {name:<60}")?;
            for value in values {
                write!(out, "{:>12} {unit:<10}", shown(*value))?;
            }
            if let [mine, other] = values[..] {
                write!(out, " {:>6.2}×", mine / other)?;
            }
            writeln!(out)?;
        }
        Ok(())
    }

    fn json(&self, urls: &[String]) -> Value {
        let floor: Map<String, Value> = self
            .floor
            .iter()
            .map(|f| (f.name.clone(), json!({ "value": f.value, "unit": f.unit })))
            .collect();
        let columns: Vec<Value> = urls
            .iter()
            .enumerate()
            .map(|(column, url)| {
                let figures: Map<String, Value> = self
                    .rows
                    .iter()
                    .filter_map(|(name, unit, values)| {
                        let value = values.get(column).filter(|v| v.is_finite())?;
                        Some((name.clone(), json!({ "value": value, "unit": unit })))
                    })
                    .collect();
                json!({ "url": url, "figures": figures })
            })
            .collect();
        json!({ "floor": floor, "endpoints": columns })
    }
}

fn shown(value: f64) -> String {
    if !value.is_finite() {
        "-".to_owned()
    } else if value >= 100.0 {
        format!("{value:.0}")
    } else {
        format!("{value:.2}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_that_one_endpoint_lacks_stays_out_of_its_column() {
        let mut report = Report::default();
        report.figure(0, Figure::new("a", 1.0, "MB"));
        report.figure(1, Figure::new("a", 2.0, "MB"));
        report.figure(1, Figure::new("only the second", 3.0, "MB"));
        report.figure(0, Figure::megabytes("unknown", None));
        let json = report.json(&["one".to_owned(), "two".to_owned()]);
        assert_eq!(json["endpoints"][0]["figures"].as_object().unwrap().len(), 1);
        assert_eq!(json["endpoints"][1]["figures"]["only the second"]["value"], 3.0);
        assert_eq!(json["endpoints"][1]["figures"]["a"]["value"], 2.0);
    }
}

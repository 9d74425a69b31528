// SPDX-License-Identifier: GPL-2.0

//! The picture of what a draw costs.

use anyhow::{Result, anyhow};
use plotters::prelude::*;
use std::{fs, path::Path};

/// Draws the cost of a draw, ours and C's, against how many fortunes are in the pot.
pub(crate) fn fill(path: &Path, fills: &[(u32, f64, f64)]) -> Result<()> {
    let most = fills
        .iter()
        .map(|fill| fill.1.max(fill.2))
        .fold(0., f64::max);
    let root = SVGBackend::new(path, (640, 360)).into_drawing_area();
    let failed = |error: String| anyhow!("{}: {error}", path.display());
    let draw = || -> Result<(), Box<dyn std::error::Error>> {
        root.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&root)
            .margin(16)
            .x_label_area_size(36)
            .y_label_area_size(56)
            .build_cartesian_2d((1_u32..200_000).log_scale(), 0_f64..most * 1.2)?;
        chart
            .configure_mesh()
            .x_desc("fortunes in the pot")
            .y_desc("instructions of a draw")
            .draw()?;
        let ours = fills.iter().map(|fill| (fill.0, fill.1));
        let twins = fills.iter().map(|fill| (fill.0, fill.2));
        chart
            .draw_series(LineSeries::new(ours, BLUE.stroke_width(2)))?
            .label("fortune.ko")
            .legend(|(x, y)| PathElement::new([(x, y), (x + 16, y)], BLUE.stroke_width(2)));
        chart
            .draw_series(LineSeries::new(twins, RED.stroke_width(2)))?
            .label("its twin in C")
            .legend(|(x, y)| PathElement::new([(x, y), (x + 16, y)], RED.stroke_width(2)));
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::LowerRight)
            .border_style(BLACK)
            .draw()?;
        root.present()?;
        Ok(())
    };
    draw().map_err(|error| failed(error.to_string()))?;
    let picture = fs::read_to_string(path)?;
    fs::write(
        path,
        format!("<!-- SPDX-License-Identifier: GPL-2.0 -->\n{picture}\n"),
    )?;
    Ok(())
}

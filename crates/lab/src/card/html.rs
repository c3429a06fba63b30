//! Owns the card as one HTML file that needs nothing else. Pure.

use std::fmt::Write;

use super::{
    Card,
    text::{rows, seconds},
};

/// Draws cards as one page, each with its picture.
pub fn html(cards: &[Card]) -> String {
    let mut body = String::new();
    for card in cards {
        body += &section(card);
        if let Some(picture) = &card.picture {
            // Writing into a String cannot fail.
            let _ = writeln!(body, "<figure>{picture}</figure>");
        }
    }
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>halfopen rehearse</title>\n\
         <style>{STYLE}</style></head>\n<body>\n{body}</body></html>\n"
    )
}

const STYLE: &str = "body{font:15px/1.45 system-ui,sans-serif;margin:2em auto;max-width:70em;padding:0 1em}\
 table{border-collapse:collapse;width:100%;margin:.7em 0}\
 th,td{border:1px solid #8886;padding:.3em .6em;text-align:left;vertical-align:top}\
 code,pre{font:13px/1.4 ui-monospace,monospace}.bad{font-weight:bold}\
 .bad::before{content:\"\\2717  \"}.good::before{content:\"\\2713  \"}.unsure::before{content:\"?  \"}\
 figure{margin:0;overflow:auto}@media(prefers-color-scheme:dark){body{background:#161616;color:#ddd}}";

fn section(card: &Card) -> String {
    let state = card.state.map(|state| format!(", connection {state}")).unwrap_or_default();
    let mut text = format!(
        "<section>\n<h2>{}</h2>\n<p>{}</p>\n<p>kernel {}, topology {}, clock {}{state}</p>\n",
        escaped(&card.scenario),
        escaped(&card.summary),
        escaped(&card.kernel),
        card.hosts(),
        card.clock
    );
    text += "<table><tr><th>when</th><th>what was done</th></tr>\n";
    for act in &card.acts {
        let _ =
            writeln!(text, "<tr><td>{}</td><td>{}</td></tr>", seconds(act.at), escaped(&act.what));
    }
    text += "</table>\n<table><tr><th></th>";
    let columns: Vec<_> = card.sides.iter().map(rows).collect();
    for side in &card.sides {
        let _ = write!(text, "<th>{} <code>{}</code></th>", side.side, escaped(&side.command));
    }
    text += "</tr>\n";
    let mut headings: Vec<&str> = Vec::new();
    for (heading, _) in columns.iter().flatten() {
        if !headings.contains(heading) {
            headings.push(heading);
        }
    }
    for heading in headings {
        let _ = write!(text, "<tr><th>{}</th>", escaped(heading));
        for column in &columns {
            let cell = column.iter().find(|(known, _)| *known == heading);
            let words = cell.map(|(_, words)| words.as_str()).unwrap_or_default();
            let class = if words == "NO" { " class=\"bad\"" } else { "" };
            let _ = write!(text, "<td{class}>{}</td>", escaped(words));
        }
        text += "</tr>\n";
    }
    text += "</table>\n";
    if let Some(messages) = card.messages {
        let _ = writeln!(text, "<p>messages: {messages}</p>");
    }
    if !card.said.is_empty() {
        text += "<pre>";
        for said in &card.said {
            let line = escaped(&said.line);
            let _ = writeln!(text, "{}  {:<7} {line}", seconds(said.at), said.side.word());
        }
        text += "</pre>\n";
    }
    for note in &card.notes {
        let _ = writeln!(text, "<p>note: {}</p>", escaped(note));
    }
    for one in &card.expectations {
        let class = match one.met {
            Some(true) => "good",
            Some(false) => "bad",
            None => "unsure",
        };
        let (what, instead) = (escaped(&one.what), escaped(&one.instead));
        let _ = writeln!(text, "<p class=\"{class}\">{what}: {instead}</p>");
    }
    text + "</section>\n"
}

/// What programs say is not to become markup.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

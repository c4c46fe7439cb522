//! Every op has a shader, an oracle, cases and a stated gradient; every shader has an op.

use crate::gradient::{gradient_graph, is_gradient_case};
use crate::harness::{browser, families};
use crate::oracle;
use crate::reference::elementwise;
use std::collections::BTreeSet;
use std::path::Path;
use wgrad::graph::Graph;
use wgrad::kernels::{DeviceCaps, LIBRARY, Template};
use wgrad::ops::registry::{Card, Gradient, cards};
use wgrad::ops::table::ROWS;
use wgrad::passes::Passes;
use wgrad::plan::Plan;

/// The files in `shaders/`: path below it without the extension.
fn shaders() -> Vec<String> {
    let entries = |path: &Path| -> Vec<_> {
        let entries = std::fs::read_dir(path).expect("a folder of shaders");
        entries.map(|entry| entry.expect("an entry").path()).collect()
    };
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("shaders");
    let files = entries(&root).into_iter().flat_map(|folder| entries(&folder));
    let path = |file: std::path::PathBuf| {
        let below = file.strip_prefix(&root).expect("a file below the folder").with_extension("");
        below.to_str().expect("a name in UTF-8").replace('\\', "/")
    };
    files.map(path).collect()
}

/// What is missing.
fn defects(cards: &[Card]) -> Vec<String> {
    let mut found = Vec::new();
    let mut fail = |what: String| found.push(what);
    for card in cards {
        let name = card.name;
        if !card.cases.first().is_some_and(|case| oracle::knows(name, case)) {
            fail(format!("{name}: no oracle"));
        }
        if card.cases.is_empty() {
            fail(format!("{name}: no forward case"));
        }
        match card.gradient {
            Gradient::Checked if !card.cases.iter().any(is_gradient_case) => {
                fail(format!("{name}: no gradient case"));
            }
            Gradient::None("") => fail(format!("{name}: no reason why it has no gradient")),
            _ => {}
        }
        if card.cases.iter().any(|c| c.op != name) {
            fail(format!("{name}: a case of another op"));
        }
    }
    let named: BTreeSet<&str> =
        cards.iter().flat_map(|card| card.templates.iter().map(|t| t.path)).collect();
    let known: BTreeSet<&str> = named.into_iter().chain(LIBRARY.iter().map(|f| f.0)).collect();
    for path in shaders().iter().filter(|path| !known.contains(path.as_str())) {
        fail(format!("no op names the shader `{path}`"));
    }
    for row in ROWS.iter().filter(|r| !cards.iter().any(|c| c.name == r.name)) {
        fail(format!("no card for the function `{}`", row.name));
    }
    let functions = elementwise::unary_names().chain(elementwise::binary_names());
    for name in functions {
        if !cards.iter().any(|c| c.name == name) {
            fail(format!("the oracle knows `{name}`, the table does not"));
        }
    }
    found
}

#[test]
fn nothing_is_missing() {
    assert_eq!(defects(&cards()), Vec::<String>::new());
}

#[test]
fn whatever_is_missing_is_noticed() {
    let without = |change: &dyn Fn(&mut Card)| {
        let mut all = cards();
        change(all.iter_mut().find(|c| c.name == "softmax").expect("a card"));
        defects(&all)
    };
    let cases: [&dyn Fn(&mut Card); 4] = [
        &|c| c.name = "softmin",
        &|c| c.cases.clear(),
        &|c| c.gradient = Gradient::None(""),
        &|c| c.cases.retain(|case| !is_gradient_case(case)),
    ];
    for (i, change) in cases.into_iter().enumerate() {
        assert!(!without(change).is_empty(), "defect {i} was not noticed");
    }
    assert!(shaders().len() > 30);
    for (missing, text) in [("matmul", "no op names"), ("tanh", "no card"), ("add", "no card")] {
        let mut all = cards();
        all.retain(|c| c.name != missing);
        assert!(defects(&all).iter().any(|d| d.contains(text)), "{missing}");
    }
}

/// The templates that a graph launches on each family. Plans are made for any device on each adapter.
fn templates(graph: &Graph) -> Vec<Template> {
    let of = |caps: &DeviceCaps| {
        let plan = Plan::compile(graph, &Passes::default(), caps);
        let plan = plan.unwrap_or_else(|e| panic!("{e}\n{graph}"));
        plan.dispatches.iter().map(|d| d.call.template).collect::<Vec<_>>()
    };
    families().iter().chain([&browser()]).flat_map(of).collect()
}

/// Every template of a card is launched by one of its cases or their gradients, on one of the families.
#[test]
fn cases_launch_the_shaders_of_their_card() {
    for card in cards() {
        let mut launched = Vec::new();
        for case in &card.cases {
            let graph = case.graph().unwrap_or_else(|e| panic!("{case}: {e}")).0;
            launched.extend(templates(&graph));
        }
        let missing = |launched: &[Template]| -> Vec<&str> {
            let templates = card.templates.iter().filter(|t| !launched.contains(t));
            templates.map(|t| t.path).collect()
        };
        if card.gradient == Gradient::Checked && !missing(&launched).is_empty() {
            let of_card = |t: &Template| card.templates.contains(t);
            for case in card.cases.iter().filter(|case| is_gradient_case(case)) {
                let found =
                    templates(&gradient_graph(case).unwrap_or_else(|e| panic!("{case}: {e}")));
                launched.extend(found.into_iter().filter(of_card));
            }
        }
        assert_eq!(missing(&launched), Vec::<&str>::new(), "{}: no case launches them", card.name);
        // An alias of an input becomes an output through a copy.
        launched.retain(|t| !card.templates.contains(t) && t.path != "elementwise/map");
        let others: Vec<&str> = launched.iter().map(|t| t.path).collect();
        assert!(others.is_empty(), "{} launches {others:?} too", card.name);
    }
}

//! Paths against a naive evaluation, text there and back, and hostile paths.

use proptest::prelude::*;

use super::path::{Path, Selector};
use super::{DEPTH_MAX, Fields, Node, text};

fn parsed(text: &str) -> Node {
    text::parse(text.as_bytes()).expect("the test's text is JSON")
}

fn found(document: &str, path: &str) -> String {
    let path = Path::parse(path).expect("the test's path is one");
    let root = parsed(document);
    let nodes: Vec<String> = path
        .select(&root)
        .expect("a short walk")
        .into_iter()
        .map(|node| String::from_utf8(node.to_text()).expect("JSON is UTF-8"))
        .collect();
    nodes.join(" ")
}

#[test]
fn paths_lead_where_they_say() {
    let document = r#"{"a":1,"b":{"a":[1,2,3,4],"c d":true},"l":[{"n":"x","p":5},{"n":"y","p":15},{"p":"5"}],"m":10}"#;
    for (path, expected) in [
        ("$", document),
        ("$.a", "1"),
        ("$['a','m']", "1 10"),
        ("$.b['c d']", "true"),
        ("$..a", "1 [1,2,3,4]"),
        ("$.b.a[0]", "1"),
        ("$.b.a[-1]", "4"),
        ("$.b.a[0,2]", "1 3"),
        ("$.b.a[1:3]", "2 3"),
        ("$.b.a[::2]", "1 3"),
        ("$.b.a[-2:]", "3 4"),
        ("$.b.*", "[1,2,3,4] true"),
        ("$.l[*].n", r#""x" "y""#),
        ("$.l[?(@.p>10)].n", r#""y""#),
        ("$.l[?(@.p >= 5 && @.n == 'x')].p", "5"),
        ("$.l[?(@.n=='x' || @.n==\"y\")].p", "5 15"),
        ("$.l[?(!(@.n))]", r#"{"p":"5"}"#),
        ("$.l[?(@.p < $.m)].n", r#""x""#),
        ("$.l[?(@.n =~ '^[xy]$')].n", r#""x" "y""#),
        ("$.b.a[?(@!=2)]", "1 3 4"),
        ("$.none", ""),
        ("$.a.b", ""),
        ("$.b.a[9]", ""),
        (".", document),
        ("a", "1"),
        (".b.a[1]", "2"),
        ("..a", "1"),
        ("l[0].n", r#""x""#),
    ] {
        assert_eq!(found(document, path), expected, "{path}");
    }
}

#[test]
fn what_is_no_path_is_refused() {
    for path in [
        "$.",
        "$[",
        "$['a",
        "$[1",
        "$.a[?(@.b",
        "$[?(@.b==)]",
        "$[1:2:0]",
        "a b",
        "$.a]",
        "$[?(@ =~ '(')]",
        "$..",
        "$[]",
    ] {
        assert!(Path::parse(path).is_err(), "{path}");
    }
    let deep = format!("$[?{}@{}]", "(".repeat(10_000), ")".repeat(10_000));
    assert!(Path::parse(&deep).is_err());
    assert!(Path::parse(&format!("$[?{}@]", "!".repeat(60_000))).is_err());
    assert!(Path::parse(&"..a".repeat(2000)).is_err());
}

#[test]
fn a_path_that_visits_too_much_ends_in_an_error() {
    let nested = format!("{}{}", "[".repeat(100), "]".repeat(100));
    let path = Path::parse(&format!("${}", "..[*]".repeat(12))).expect("it is a path");
    assert!(path.select(&parsed(&nested)).is_err());
}

#[test]
fn documents_nested_too_deeply_are_no_documents() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert!(text::parse(nested(DEPTH_MAX - 1).as_bytes()).is_ok());
    assert!(text::parse(nested(DEPTH_MAX + 1).as_bytes()).is_err());
    assert!(text::parse(nested(1_000_000).as_bytes()).is_err());
}

#[test]
fn numbers_keep_their_kind() {
    for (given, printed) in [
        ("1", "1"),
        ("-0", "0"),
        ("1.0", "1.0"),
        ("1e2", "100.0"),
        ("9223372036854775807", "9223372036854775807"),
        ("9223372036854775808", "9.223372036854775808e18"),
        ("0.1", "0.1"),
    ] {
        let text = String::from_utf8(parsed(given).to_text()).expect("JSON is UTF-8");
        if given == "9223372036854775808" {
            assert!(matches!(parsed(given), Node::Float(_)), "{text}");
        } else if given != "-0" {
            assert_eq!(text, printed);
        }
    }
    assert!(text::parse(b"1e400").is_err());
}

fn node() -> impl Strategy<Value = Node> {
    let leaf = prop_oneof![
        Just(Node::Null),
        any::<bool>().prop_map(Node::Bool),
        (-5i64..5).prop_map(Node::Int),
        (-2.0f64..2.0).prop_map(Node::Float),
        "[ab\"\\\\\u{e9}]{0,3}".prop_map(|text| Node::Str(text.into())),
    ];
    leaf.prop_recursive(4, 40, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Node::Array),
            prop::collection::vec(("[abc]", inner), 0..4).prop_map(|pairs| {
                Node::Object(Box::new(pairs.into_iter().map(|(name, value)| (name.into(), value)).collect::<Fields>()))
            }),
        ]
    })
}

fn step() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(".a".to_owned()),
        Just("['b','c']".to_owned()),
        Just(".*".to_owned()),
        Just("..a".to_owned()),
        Just("..*".to_owned()),
        (-3i64..3).prop_map(|at| format!("[{at}]")),
        (-3i64..3, -3i64..3).prop_map(|(start, end)| format!("[{start}:{end}]")),
        Just("[0,-1]".to_owned()),
    ]
}

/// The matches as a naive reading of the path has them: step by step, all nodes so far at a time.
fn naive<'n>(path: &Path, root: &'n Node) -> Vec<&'n Node> {
    fn below<'n>(node: &'n Node, out: &mut Vec<&'n Node>) {
        out.push(node);
        (0..node.child_count()).filter_map(|at| node.child(at)).for_each(|child| below(child, out));
    }
    fn children<'n>(node: &'n Node, selector: &Selector) -> Vec<&'n Node> {
        let all: Vec<&Node> = (0..node.child_count()).filter_map(|at| node.child(at)).collect();
        let from_end = |index: i64| if index < 0 { index + all.len() as i64 } else { index };
        match (node, selector) {
            (_, Selector::All) => all,
            (Node::Object(fields), Selector::Names(names)) => {
                names.iter().filter_map(|name| fields.get(&**name)).collect()
            }
            (Node::Array(_), Selector::Indices(indices)) => {
                let at = |index: &i64| usize::try_from(from_end(*index)).ok().and_then(|at| all.get(at).copied());
                indices.iter().filter_map(at).collect()
            }
            (Node::Array(_), Selector::Slice { start, end, step }) => {
                let (start, end) = (from_end(start.unwrap_or(0)), from_end(end.unwrap_or(i64::MAX)));
                let inside = (0..all.len()).filter(|at| (*at as i64) >= start && (*at as i64) < end);
                let first = usize::try_from(start).unwrap_or(0);
                inside.filter(|at| (at - first) % step == 0).map(|at| all[at]).collect()
            }
            _ => Vec::new(),
        }
    }
    let mut nodes = vec![root];
    for step in &path.steps {
        let mut next = Vec::new();
        for node in nodes {
            let mut from = vec![node];
            if step.deep {
                from.clear();
                below(node, &mut from);
            }
            from.iter().for_each(|node| next.extend(children(node, &step.selector)));
        }
        nodes = next;
    }
    nodes
}

/// Nodes by address: equal values at different places are different matches.
fn addresses(nodes: &[&Node]) -> Vec<usize> {
    let mut addresses: Vec<usize> = nodes.iter().map(|node| std::ptr::from_ref(*node) as usize).collect();
    addresses.sort_unstable();
    addresses
}

proptest! {
    #[test]
    fn a_path_finds_what_a_naive_reading_finds(root in node(), steps in prop::collection::vec(step(), 0..4)) {
        let path = Path::parse(&format!("${}", steps.concat())).expect("steps make a path");
        let found = path.select(&root).expect("a short walk");
        prop_assert_eq!(addresses(&found), addresses(&naive(&path, &root)));
        let places = path.places(&root).expect("a short walk");
        let at_places: Vec<&Node> = places.iter().map(|place| root.at(place).expect("a place leads to a node")).collect();
        prop_assert_eq!(addresses(&found), addresses(&at_places));
    }

    #[test]
    fn text_gives_the_document_back(root in node()) {
        prop_assert_eq!(text::parse(&root.to_text()), Ok(root));
    }

    #[test]
    fn any_text_is_a_path_or_refused(text in "[$@.a\\[\\]'\"*?()0-9:,&|=!<>~ -]{0,40}") {
        if let Ok(path) = Path::parse(&text) {
            let _ = path.select(&parsed(r#"{"a":[1,{"a":2}]}"#));
        }
    }
}

//! Pipelines of FT.AGGREGATE: expressions against values computed by hand, reducers, sorting, paging.

use std::sync::Arc;

use proptest::prelude::*;
use quiver_query::{
    QueryError, Value,
    aggregate::{Arguments, Plan, Planner, Row, Run},
};

/// Properties that documents of these tests have.
const PROPERTIES: &[&str] = &["a", "b", "n", "name", "tags", "loc", "none", "__matched_terms"];

fn plan(command: &[&str]) -> Result<Plan, QueryError> {
    let known = |name: &[u8]| PROPERTIES.iter().any(|property| property.as_bytes() == name);
    let words: Vec<&[u8]> = command.iter().map(|word| word.as_bytes()).collect();
    let mut arguments = Arguments::new(&words);
    let mut planner = Planner::new(&known);
    while planner.step(&mut arguments)? {}
    assert!(arguments.rest().is_empty(), "{:?}", arguments.peek());
    Ok(planner.finish())
}

fn refusal(command: &[&str]) -> String {
    plan(command).map(|_| ()).expect_err("refused").to_string()
}

type Document<'a> = &'a [(&'a str, Value)];

/// The rows that come out: names and values of what is there.
fn outcome(command: &[&str], documents: &[Document<'_>]) -> Vec<Vec<(String, Value)>> {
    let plan = plan(command).unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let inputs = plan.inputs().to_vec();
    let mut run = Run::new(Arc::new(plan), 7);
    for document in documents {
        let mut values = vec![Value::Null; run.plan().width()];
        for (name, place) in &inputs {
            if let Some((_, value)) = document.iter().find(|(known, _)| known.as_bytes() == name) {
                values[*place] = value.clone();
            }
        }
        if !run.push(Row { values, rest: Vec::new() }).expect("a small row") {
            break;
        }
    }
    run.finish().expect("small rows");
    let columns = run.plan().columns().to_vec();
    std::iter::from_fn(|| run.take())
        .map(|row| {
            let named = columns.iter().zip(row.values).filter(|(column, value)| column.shown && *value != Value::Null);
            named.map(|(column, value)| (String::from_utf8_lossy(&column.name).into_owned(), value)).collect()
        })
        .collect()
}

fn number(number: f64) -> Value {
    Value::Number(number)
}

fn text(text: &str) -> Value {
    Value::text(text)
}

fn list(values: &[Value]) -> Value {
    Value::List(values.to_vec())
}

/// What an expression comes to in one document.
fn value(expression: &str) -> Value {
    let document: Document<'_> = &[
        ("a", number(7.0)),
        ("b", text("2.5")),
        ("name", text("Redis Search")),
        ("tags", text("red, blue,,green ")),
        ("loc", text("1.2,-3.4")),
        ("__matched_terms", list(&[text("hello"), text("world")])),
    ];
    let rows = outcome(&["APPLY", expression, "AS", "result"], &[document]);
    rows[0].iter().find(|(name, _)| name == "result").map(|(_, value)| value.clone()).unwrap_or_default()
}

#[test]
fn arithmetic_binds_as_usual() {
    for (expression, expected) in [
        ("1 + 2 * 3", 7.0),
        ("(1 + 2) * 3", 9.0),
        ("10 - 4 - 3", 3.0),
        ("2 ^ 3 ^ 2", 512.0),
        ("-@a + 1", -6.0),
        ("@a - -1", 8.0),
        ("@a/@b", 2.8),
        ("@a % 4 + 1", 4.0),
        ("7.9 % 4.9", 3.0),
        ("1 / 0", f64::INFINITY),
        ("1e3 + .5", 1000.5),
        ("inf", f64::INFINITY),
        ("-inf", f64::NEG_INFINITY),
        ("-inf % -1", 0.0),
        ("sqrt(@a + 2) * floor(2.7) + ceil(0.1)", 7.0),
        ("abs(-3) + log2(8) + exp(0) + log(1)", 7.0),
    ] {
        assert_eq!(value(expression), number(expected), "{expression}");
    }
    assert!(matches!(value("1 % 0"), Value::Number(rest) if rest.is_nan()));
    assert_eq!(value("@name * 2"), Value::Null);
    assert_eq!(value("@none + 1"), Value::Null);
    assert_eq!(value("sqrt(@name)"), Value::Null);
}

#[test]
fn conditions_are_one_or_zero() {
    for (expression, expected) in [
        ("1 < 2 && 2 <= 2", true),
        ("1 > 2 || 2 >= 2", true),
        ("1 == 1 && 1 != 1", false),
        ("@name == 'Redis Search'", true),
        ("@b == 2.5", true),
        ("'abc' < 'abd'", true),
        ("!(1 == 1)", false),
        ("!@none", true),
        ("!1 == 0", true),
        ("@none == 3", false),
        ("@none < 3", false),
        ("0 || 0 && 1", false),
        ("exists(@a)", true),
        ("exists(@none)", false),
    ] {
        assert_eq!(value(expression), number(if expected { 1.0 } else { 0.0 }), "{expression}");
    }
    assert_eq!(value("case(@a > 5, 'big', 'small')"), text("big"));
    assert_eq!(value("case(exists(@none), @none, 3)"), number(3.0));
}

#[test]
fn functions_of_texts() {
    for (expression, expected) in [
        ("upper(@name)", text("REDIS SEARCH")),
        ("lower('ÄB')", text("äb")),
        ("startswith(@name, 'Redis')", number(1.0)),
        ("contains('banana', 'an')", number(2.0)),
        ("contains('abc', '')", number(4.0)),
        ("strlen(@name)", number(12.0)),
        ("substr('hello', 0, 3)", text("hel")),
        ("substr('hello', -2, -1)", text("lo")),
        ("substr('hello', 1, -2)", text("ell")),
        ("substr('hello', 9, 9)", text("")),
        ("format('%s is %s%%', @name, @a)", text("Redis Search is 7%")),
        ("format('%d', @a)", Value::Null),
        ("format('%s')", Value::Null),
        ("split(@tags)", list(&[text("red"), text("blue"), text("green")])),
        ("split('a-b;c', '-;', 'b')", list(&[text("a"), text("c")])),
        ("matched_terms()", list(&[text("hello"), text("world")])),
        ("matched_terms(1)", list(&[text("hello")])),
        ("to_number('12') + 1", number(13.0)),
        ("to_str(12)", text("12")),
        (r"'foo\'s'", text("foo's")),
        ("upper(3)", Value::Null),
    ] {
        assert_eq!(value(expression), expected, "{expression}");
    }
}

#[test]
fn functions_of_times_and_places() {
    for (expression, expected) in [
        ("timefmt(1518613507)", text("2018-02-14T13:05:07Z")),
        ("timefmt(1518613507, '%d.%m.%y')", text("14.02.18")),
        ("parsetime('2018-02-14', '%Y-%m-%d')", number(1_518_566_400.0)),
        ("parsetime('soon', '%Y')", Value::Null),
        ("day(1518613507)", number(1_518_566_400.0)),
        ("hour(1518613507)", number(1_518_613_200.0)),
        ("minute(1518613507)", number(1_518_613_500.0)),
        ("month(1518613507)", number(1_517_443_200.0)),
        ("year(1518613507)", number(2018.0)),
        ("monthofyear(1518613507)", number(1.0)),
        ("dayofweek(1518613507)", number(3.0)),
        ("dayofmonth(1518613507)", number(14.0)),
        ("dayofyear(1518613507)", number(44.0)),
        ("geodistance(@loc, '1.2,-3.4')", number(0.0)),
        ("geodistance(@loc, 1.2, -3.4)", number(0.0)),
        ("geodistance(0, 0, 0, 1)", number(111_226.3)),
        ("geodistance(@loc, @name)", Value::Null),
    ] {
        assert_eq!(value(expression), expected, "{expression}");
    }
}

#[test]
fn what_cannot_be_read_is_refused() {
    for (command, error) in [
        (&["APPLY", "1 +", "AS", "x"][..], "Syntax error at offset 2 near '+'"),
        (&["APPLY", "foo", "AS", "x"], "Syntax error at offset 0 near 'foo'"),
        (&["APPLY", "1 2", "AS", "x"], "Syntax error at offset 2 near '2'"),
        (&["APPLY", "'open", "AS", "x"], "Syntax error at offset 0 near ''open'"),
        (&["APPLY", "nope(1)", "AS", "x"], "Unknown function name 'nope'"),
        (&["APPLY", "upper()", "AS", "x"], "Invalid arguments for function 'upper'"),
        (&["APPLY", "@nope", "AS", "x"], "Property `nope` not loaded nor in pipeline"),
        (&["APPLY", "1", "AS"], "AS needs argument"),
        (&["SORTBY", "1", "@nope"], "Property `nope` not loaded nor in schema"),
        (&["SORTBY", "2", "@a", "UP"], "Bad arguments for SORTBY: MISSING ASC or DESC after sort field (UP)"),
        (&["SORTBY", "3", "@a"], "Bad arguments for SORTBY: Expected an argument, but none provided"),
        (
            &["SORTBY", "1", "@a", "SORTBY", "1", "@b"],
            "Multiple SORTBY steps are not allowed. Sort multiple fields in a single step",
        ),
        (&["GROUPBY", "1", "a"], "Bad arguments for GROUPBY: Unknown property `a`. Did you mean `@a`?"),
        (&["GROUPBY", "1", "@nope"], "No such property `nope`"),
        (&["GROUPBY", "x"], "Bad arguments for GROUPBY: Could not convert argument to expected type"),
        (&["GROUPBY", "1", "@a", "REDUCE", "NOPE", "0"], "No such reducer: NOPE"),
        (&["GROUPBY", "0", "REDUCE", "COUNT", "1", "@a"], "Count accepts 0 values only"),
        (&["GROUPBY", "0", "REDUCE", "SUM", "0"], "Bad arguments for SUM: Expected an argument, but none provided"),
        (&["GROUPBY", "1", "@a", "SORTBY", "1", "@b"], "Property `b` not loaded nor in schema"),
        (&["LIMIT", "0"], "LIMIT needs two numeric arguments"),
        (&["LIMIT", "0", "1000001"], "LIMIT exceeds maximum of 1000000"),
    ] {
        assert_eq!(refusal(command), error, "{command:?}");
    }
    assert!(refusal(&["APPLY", &"(".repeat(10_000), "AS", "x"]).contains("stack overflow"));
    assert!(refusal(&["APPLY", &"-".repeat(10_000), "AS", "x"]).contains("stack overflow"));
    assert!(refusal(&["APPLY", &format!("1{}", "+1".repeat(10_000)), "AS", "x"]).contains("too long"));
}

/// The documents of the examples: a name, a number, sometimes a further one.
fn people() -> Vec<Vec<(&'static str, Value)>> {
    [("x", 10.0, Some(1.0)), ("x", 3.0, None), ("y", 8.0, Some(2.0)), ("x", 8.0, Some(1.0))]
        .map(|(name, n, a)| {
            let mut document = vec![("name", text(name)), ("n", number(n))];
            document.extend(a.map(|a| ("a", number(a))));
            document
        })
        .to_vec()
}

fn of_people(command: &[&str]) -> Vec<Vec<(String, Value)>> {
    let people = people();
    let documents: Vec<Document<'_>> = people.iter().map(Vec::as_slice).collect();
    outcome(command, &documents)
}

/// What a reducer makes of all people with the name x.
fn reduced(reducer: &[&str]) -> Value {
    let command = [&["FILTER", "@name == 'x'", "GROUPBY", "1", "@name", "REDUCE"], reducer, &["AS", "r"]].concat();
    let rows = of_people(&command);
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0][0], ("name".to_owned(), text("x")));
    rows[0].get(1).map(|(_, value)| value.clone()).unwrap_or_default()
}

#[test]
fn reducers_reduce() {
    assert_eq!(reduced(&["COUNT", "0"]), number(3.0));
    assert_eq!(reduced(&["COUNT_DISTINCT", "1", "@a"]), number(1.0));
    assert_eq!(reduced(&["COUNT_DISTINCTISH", "1", "@n"]), number(3.0));
    assert_eq!(reduced(&["SUM", "1", "@n"]), number(21.0));
    assert_eq!(reduced(&["SUM", "1", "@name"]), number(0.0));
    assert_eq!(reduced(&["MIN", "1", "@n"]), number(3.0));
    assert_eq!(reduced(&["max", "1", "@n"]), number(10.0));
    assert_eq!(reduced(&["MIN", "1", "@none"]), Value::Null);
    assert_eq!(reduced(&["AVG", "1", "@n"]), number(7.0));
    assert_eq!(reduced(&["STDDEV", "1", "@n"]), number(13_f64.sqrt()));
    assert_eq!(reduced(&["QUANTILE", "2", "@n", "0.5"]), number(8.0));
    assert_eq!(reduced(&["QUANTILE", "2", "@n", "1"]), number(10.0));
    assert_eq!(reduced(&["TOLIST", "1", "@n"]), list(&[number(10.0), number(3.0), number(8.0)]));
    assert_eq!(reduced(&["FIRST_VALUE", "1", "@n"]), number(10.0));
    assert_eq!(reduced(&["FIRST_VALUE", "3", "@a", "BY", "@n"]), Value::Null);
    assert_eq!(reduced(&["FIRST_VALUE", "4", "@n", "BY", "@n", "DESC"]), number(10.0));
    let Value::List(sample) = reduced(&["RANDOM_SAMPLE", "2", "@n", "2"]) else { panic!("a list") };
    assert_eq!(sample.len(), 2);
}

#[test]
fn collect_keeps_chosen_fields_of_rows() {
    let map = |pairs: &[(&str, f64)]| {
        Value::Map(pairs.iter().map(|(name, value)| (name.as_bytes().to_vec(), number(*value))).collect())
    };
    assert_eq!(
        reduced(&["COLLECT", "4", "FIELDS", "2", "@n", "@a"]),
        list(&[map(&[("n", 10.0), ("a", 1.0)]), map(&[("n", 3.0)]), map(&[("n", 8.0), ("a", 1.0)])])
    );
    assert_eq!(
        reduced(&["COLLECT", "10", "FIELDS", "1", "@n", "SORTBY", "2", "@n", "ASC", "LIMIT", "1", "1"]),
        list(&[map(&[("n", 8.0)])])
    );
    assert_eq!(reduced(&["COLLECT", "4", "FIELDS", "1", "@none", "DISTINCT"]), list(&[map(&[])]));
}

#[test]
fn a_reducer_without_a_name_gets_one() {
    let rows = of_people(&["GROUPBY", "1", "@name", "REDUCE", "QUANTILE", "2", "@n", "0.5", "REDUCE", "COUNT", "0"]);
    let names: Vec<_> = rows[0].iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["name", "__generated_aliasquantilen,0.5", "__generated_aliascount"]);
}

#[test]
fn a_list_belongs_to_the_group_of_each_element() {
    let documents: [Document<'_>; 2] = [&[("tags", text("red,blue"))], &[("tags", text("blue"))]];
    let rows = outcome(
        &["APPLY", "split(@tags)", "AS", "tag", "GROUPBY", "1", "@tag", "REDUCE", "COUNT", "0", "AS", "n"],
        &documents,
    );
    let row = |tag: &str, n: f64| vec![("tag".to_owned(), text(tag)), ("n".to_owned(), number(n))];
    assert_eq!(rows, [row("red", 1.0), row("blue", 2.0)]);
}

fn numbers(rows: &[Vec<(String, Value)>]) -> Vec<f64> {
    let value = |row: &Vec<(String, Value)>| row.iter().find(|(name, _)| name == "n").and_then(|(_, n)| n.as_number());
    rows.iter().filter_map(value).collect()
}

#[test]
fn rows_are_sorted_and_paged() {
    assert_eq!(numbers(&of_people(&["SORTBY", "2", "@n", "ASC"])), [3.0, 8.0, 8.0, 10.0]);
    assert_eq!(numbers(&of_people(&["SORTBY", "2", "@n", "DESC", "MAX", "2"])), [10.0, 8.0]);
    assert_eq!(numbers(&of_people(&["SORTBY", "2", "@n", "DESC", "LIMIT", "1", "2"])), [8.0, 8.0]);
    assert_eq!(numbers(&of_people(&["SORTBY", "4", "@name", "DESC", "@n", "ASC"])), [8.0, 3.0, 8.0, 10.0]);
    assert_eq!(numbers(&of_people(&["SORTBY", "1", "@a", "LIMIT", "3", "9", "APPLY", "@n", "AS", "n"])), [3.0]);
    assert_eq!(numbers(&of_people(&["APPLY", "@n * 1", "AS", "n", "LIMIT", "1", "2"])), [3.0, 8.0]);
    assert_eq!(numbers(&of_people(&["FILTER", "@n > 5", "LIMIT", "0", "0"])), [0.0; 0]);
}

#[test]
fn a_sort_shows_ten_rows_unless_told_otherwise() {
    let values: Vec<_> = (0..30).map(|n| [("n", number(f64::from(n)))]).collect();
    let documents: Vec<Document<'_>> = values.iter().map(|document| &document[..]).collect();
    assert_eq!(outcome(&["SORTBY", "1", "@n"], &documents).len(), 10);
    assert_eq!(outcome(&["SORTBY", "1", "@n", "LIMIT", "0", "20"], &documents).len(), 20);
    assert_eq!(outcome(&["FILTER", "@n >= 0"], &documents).len(), 30);
}

#[test]
fn groups_can_be_filtered_sorted_and_grouped_again() {
    let rows = of_people(&[
        "GROUPBY", "2", "@name", "@n", "REDUCE", "COUNT", "0", "AS", "c", "APPLY", "@n * 2", "AS", "n", "SORTBY", "2",
        "@n", "DESC", "MAX", "3", "GROUPBY", "1", "@name", "REDUCE", "SUM", "1", "@n", "AS", "n", "FILTER", "@n > 16",
    ]);
    assert_eq!(rows, [vec![("name".to_owned(), text("x")), ("n".to_owned(), number(36.0))]]);
}

#[test]
fn a_page_without_a_sort_asks_for_no_more_rows_than_it_shows() {
    let plan = Arc::new(plan(&["APPLY", "@n", "AS", "m", "LIMIT", "1", "2"]).unwrap());
    let mut run = Run::new(plan, 1);
    let row = || Row { values: vec![number(1.0)], rest: Vec::new() };
    assert_eq!([(); 3].map(|()| run.push(row()).unwrap()), [true, true, false]);
    assert_eq!(run.ready(), 2);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_expression_is_read_or_refused_and_evaluates(
        pieces in proptest::collection::vec(
            proptest::sample::select(vec![
                "(", ")", ",", "+", "-", "*", "/", "%", "^", "==", "!=", "<", ">=", "&&", "||", "!", "@a", "@name",
                "@tags", "1", "2.5", "inf", "null", "'x'", "\"", "\\", " ", "split(", "format('%s',", "substr(",
                "timefmt(", "parsetime(", "case(", "geodistance(", "contains(", "matched_terms(", "1e308", "-1",
            ]),
            0..16,
        ),
    ) {
        let expression = pieces.concat();
        if plan(&["APPLY", &expression, "AS", "result"]).is_ok() {
            value(&expression);
        }
    }

    #[test]
    fn any_bytes_are_an_expression_or_refused(text: Vec<u8>) {
        let words: [&[u8]; 2] = [b"FILTER", &text];
        let _ = Planner::new(&|_| true).step(&mut Arguments::new(&words));
    }

    #[test]
    fn sums_and_counts_equal_those_of_a_scan(rows in proptest::collection::vec((0_u8..4, -100_i32..100), 0..60)) {
        let documents: Vec<_> = rows
            .iter()
            .map(|(name, n)| [("name", text(&name.to_string())), ("n", number(f64::from(*n)))])
            .collect();
        let documents: Vec<Document<'_>> = documents.iter().map(|document| &document[..]).collect();
        let outcome = outcome(
            &["GROUPBY", "1", "@name", "REDUCE", "SUM", "1", "@n", "AS", "sum", "REDUCE", "COUNT", "0", "AS", "count",
              "REDUCE", "QUANTILE", "2", "@n", "0.25", "AS", "quantile"],
            &documents,
        );
        for group in &outcome {
            let of_group: Vec<f64> = rows
                .iter()
                .filter(|(name, _)| group[0].1 == text(&name.to_string()))
                .map(|(_, n)| f64::from(*n))
                .collect();
            let mut sorted = of_group.clone();
            sorted.sort_by(f64::total_cmp);
            prop_assert_eq!(&group[1].1, &number(of_group.iter().sum()));
            prop_assert_eq!(&group[2].1, &number(of_group.len() as f64));
            prop_assert_eq!(&group[3].1, &number(sorted[sorted.len().div_ceil(4) - 1]));
        }
        let distinct: std::collections::BTreeSet<_> = rows.iter().map(|(name, _)| name).collect();
        prop_assert_eq!(outcome.len(), distinct.len());
    }
}

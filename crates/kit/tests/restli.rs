//! Rest.li against what LinkedIn's own clients and server produce. The vectors in `fixtures/` were made by running npm
//! and PyPI `linkedin-api-client` 0.3.0 and the codec of linkedin/rest.li; each file names its sources. Every vector is
//! counted, so none can drop out in silence.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use kit::ports::Method;
use kit::restli::{DecodeError, Outgoing, RestMethod, decode, decode_reduced, encode, encode_reduced, query, tunnel};
use serde_json::{Map, Value, json};
use url::Url;

const VECTORS: &str = include_str!("fixtures/restli-vectors.json");
const REQUESTS: &str = include_str!("fixtures/restli-requests.json");
const BASE: &str = "https://api.linkedin.com/rest";

fn fixture(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn vectors() -> Vec<Value> {
    fixture(VECTORS)["vectors"].as_array().unwrap().clone()
}

/// What the format keeps of a value: every scalar is text.
fn untyped(value: &Value) -> Value {
    match value {
        Value::Array(items) => items.iter().map(untyped).collect(),
        Value::Object(map) => Value::Object(map.iter().map(|(key, value)| (key.clone(), untyped(value))).collect()),
        Value::String(text) => json!(text),
        scalar => json!(scalar.to_string()),
    }
}

/// A fixture's parameters as a tool would give them, last name first so that sorting is seen.
fn written(params: &Value, fields: Option<&str>) -> String {
    let params = params.as_object().unwrap().iter().rev().filter(|(name, _)| fields.is_none() || *name != "fields");
    let params: Vec<(&str, Value)> = params.map(|(name, value)| (name.as_str(), value.clone())).collect();
    query(&params, fields)
}

fn address(input: &Value) -> String {
    let mut path = input["resourcePath"].as_str().unwrap().to_owned();
    for (name, value) in input["pathKeys"].as_object().unwrap() {
        path = path.replace(&format!("{{{name}}}"), &encode(value));
    }
    format!("{BASE}{path}")
}

#[test]
fn every_vector_is_written_exactly() {
    let mut counts = Map::new();
    for vector in vectors() {
        let (input, function) = (&vector["input"], vector["fn"].as_str().unwrap());
        let given = match function {
            "encode" => encode(input),
            "reducedEncode" => encode_reduced(input),
            "paramEncode" => written(input, None),
            "encodeQueryParamsForGetRequests" => written(input, input["fields"].as_str()),
            "buildRestliUrl" => address(input),
            other => panic!("a vector of an unknown function: {other}"),
        };
        assert_eq!(given, vector["expected"].as_str().unwrap(), "{vector}");
        let count = counts.entry(function).or_insert(json!(0));
        *count = json!(count.as_u64().unwrap() + 1);
    }
    let expected = json!({
        "encode": 27, "paramEncode": 7, "encodeQueryParamsForGetRequests": 1, "buildRestliUrl": 2, "reducedEncode": 3,
    });
    assert_eq!(Value::Object(counts), expected);
    assert_eq!(fixture(VECTORS)["count"], 40);
}

#[test]
fn what_each_implementation_writes_is_read_as_the_same_value() {
    let (mut url, mut reduced) = (0, 0);
    for vector in vectors() {
        let expected = untyped(&vector["input"]);
        let read = |texts: &[&Value], decode: fn(&str) -> Result<Value, DecodeError>| {
            let texts: Vec<&str> = texts.iter().filter_map(|text| text.as_str()).collect();
            texts.iter().for_each(|text| assert_eq!(decode(text).as_ref(), Ok(&expected), "{text}"));
            texts.len()
        };
        let java = &vector["java"];
        match vector["fn"].as_str().unwrap() {
            "encode" => {
                url += read(&[&vector["expected"], &vector["npm"], &java["query"], &java["path"]], decode);
                // The PyPI client writes an empty string as nothing, a bug that the fixture names.
                url += if expected == "" { 0 } else { read(&[&vector["pypi"]], decode) };
                assert_eq!(decode_reduced(&encode_reduced(&vector["input"])).as_ref(), Ok(&expected));
            }
            "reducedEncode" => {
                reduced += read(&[&vector["expected"], &vector["npm"], &java["header"]], decode_reduced);
                assert_eq!(decode(&encode(&vector["input"])).as_ref(), Ok(&expected));
            }
            _ => {}
        }
    }
    assert_eq!((url, reduced), (27 * 5 - 1, 3 * 3));
}

#[test]
fn every_decode_vector_is_read_exactly() {
    let requests = fixture(REQUESTS);
    let (mut url, mut reduced) = (0, 0);
    for vector in requests["decode"].as_array().unwrap() {
        let input = vector["input"].as_str().unwrap();
        let value = match vector["fn"].as_str().unwrap() {
            "decode" => (decode(input), url += 1).0,
            "reducedDecode" => (decode_reduced(input), reduced += 1).0,
            other => panic!("a vector of an unknown function: {other}"),
        };
        assert_eq!(value.as_ref(), Ok(&vector["expected"]), "{input}");
    }
    assert_eq!((url, reduced), (7, 3));
}

/// The method of a request's header, by the name that LinkedIn's documentation gives it.
fn method(name: &str) -> RestMethod {
    RestMethod::ALL.into_iter().find(|method| method.as_str().eq_ignore_ascii_case(name)).unwrap()
}

/// A query of exactly this length.
fn query_of(length: usize) -> String {
    let text = query(&[("q", json!("x".repeat(length - 2)))], None);
    assert_eq!(text.len(), length);
    text
}

#[test]
fn every_request_has_the_shape_of_the_clients() {
    // Headers that do not depend on tunnelling: the executor and the integration add them.
    let others = ["Connection", "X-RestLi-Protocol-Version", "Authorization", "user-agent", "LinkedIn-Version"];
    let requests = fixture(REQUESTS);
    let mut count = 0;
    for vector in requests["tunnelling"].as_array().unwrap() {
        let request = &vector["request"];
        let method = method(vector["restli_method"].as_str().unwrap());
        let encoded = query_of(usize::try_from(vector["query_length"].as_u64().unwrap()).unwrap());
        let filled = |text: &str| text.replace("<QUERY>", &encoded).replace("<BOUNDARY>", "b0undary");
        // The body of an untunnelled request is given as JSON, that of a tunnelled one stands inside its text.
        let tunnelled = encoded.len() > 4000;
        let json = match (vector["has_body"].as_bool().unwrap(), tunnelled) {
            (false, _) => None,
            (true, false) => Some(request["data"].to_string()),
            (true, true) => Some(r#"{"entities":{"a":1}}"#.to_owned()),
        };

        let sent = tunnel(method.verb(), "/adAccounts", &encoded, json.as_deref().map(str::as_bytes), "b0undary");

        assert_eq!(sent.verb.as_str(), request["method"], "{vector}");
        let mark = if sent.query.is_empty() { "" } else { "?" };
        let url = format!("{BASE}{}{mark}{}", sent.path, sent.query);
        assert_eq!(url, filled(request["url"].as_str().unwrap()));
        assert_eq!(Url::parse(&url).unwrap().as_str(), url);
        let body = match &request["data"] {
            Value::String(text) => filled(text),
            _ => json.unwrap_or_default(),
        };
        assert_eq!(String::from_utf8(sent.body).unwrap(), body);
        let mut headers: Map<String, Value> =
            sent.headers.into_iter().map(|(name, value)| (name.to_owned(), json!(value))).collect();
        headers.insert("X-RestLi-Method".to_owned(), json!(method.as_str()));
        let mut expected = request["headers"].as_object().unwrap().clone();
        expected.retain(|name, _| !others.contains(&name.as_str()));
        expected.values_mut().for_each(|value| *value = json!(filled(value.as_str().unwrap())));
        assert_eq!(headers, expected, "{vector}");
        count += 1;
    }
    assert_eq!(count, 7);
}

#[test]
fn a_tunnelled_delete_stays_a_delete() {
    let encoded = query_of(4001);
    let sent = tunnel(RestMethod::BatchDelete.verb(), "/adAccounts", &encoded, None, "b");
    let headers = vec![
        ("Content-Type", "application/x-www-form-urlencoded".to_owned()),
        ("X-HTTP-Method-Override", "DELETE".to_owned()),
    ];
    let path = "/adAccounts".to_owned();
    let expected = Outgoing { verb: Method::Post, path, query: String::new(), headers, body: encoded.into_bytes() };
    assert_eq!(sent, expected);
    // An empty body is none: a part without JSON would be refused.
    assert_eq!(tunnel(Method::Delete, "/adAccounts", &query_of(4001), Some(b""), "b"), expected);
}

#[test]
fn methods_have_the_verbs_of_the_protocol() {
    let names = |verb: Method| -> Vec<String> {
        let methods = RestMethod::ALL.into_iter().filter(|method| method.verb() == verb);
        methods.map(|method| method.as_str().to_uppercase()).collect()
    };
    assert_eq!(names(Method::Get), ["GET", "BATCH_GET", "GET_ALL", "FINDER", "BATCH_FINDER"]);
    let posts = ["CREATE", "BATCH_CREATE", "PARTIAL_UPDATE", "BATCH_PARTIAL_UPDATE", "ACTION"];
    assert_eq!(names(Method::Post), posts);
    assert_eq!(names(Method::Put), ["UPDATE", "BATCH_UPDATE"]);
    assert_eq!(names(Method::Delete), ["DELETE", "BATCH_DELETE"]);
    assert!(names(Method::Patch).is_empty());
}

#[test]
fn a_url_leaves_an_encoded_query_and_path_alone() {
    let encoded = query(&[("ids", json!(["urn:li:x:1", {"k": "a b&c#d'é"}]))], Some("id,name:(a,b)"));
    assert!(encoded.starts_with("ids=List(urn%3Ali%3Ax%3A1,(k:"));
    assert_eq!(Url::parse(&format!("{BASE}/x?{encoded}")).unwrap().query(), Some(encoded.as_str()));
    let mut url = Url::parse(&format!("{BASE}/x")).unwrap();
    url.set_query(Some(&encoded));
    assert_eq!(url.query(), Some(encoded.as_str()));
    // The wrong way, for comparison: it escapes again.
    url.query_pairs_mut().clear().append_pair("ids", "List(urn%3Ali)");
    assert_eq!(url.query(), Some("ids=List%28urn%253Ali%29"));

    let path = format!("{BASE}/users/{}", encode(&json!({"account": "urn:li:x:1", "user": "", "z": "a/b?c\t"})));
    assert_eq!(Url::parse(&path).unwrap().as_str(), path);
}

#[test]
fn an_empty_string_in_a_query_is_tunnelled() {
    let encoded = query(&[("k", json!({"a": ""}))], None);
    assert_eq!(encoded, "k=(a:'')");
    // The trap: the query that would arrive says something else.
    assert_eq!(Url::parse(&format!("{BASE}/x?{encoded}")).unwrap().query(), Some("k=(a:%27%27)"));
    assert_eq!(decode("(a:%27%27)"), Ok(json!({"a": "''"})));

    let sent = tunnel(Method::Get, "/x", &encoded, None, "b");
    assert_eq!((sent.verb, sent.query.as_str(), sent.body.as_slice()), (Method::Post, "", encoded.as_bytes()));
    assert!(sent.headers.contains(&("X-HTTP-Method-Override", "GET".to_owned())));
    // Quotes that a value holds are no empty string.
    let quotes = query(&[("k", json!("''"))], None);
    assert_eq!(tunnel(Method::Get, "/x", &quotes, None, "b").query, "k=%27%27");
}

#[test]
fn fields_are_last_and_raw_and_cannot_begin_another_parameter() {
    let params = [("zz", json!(1)), ("a b", json!("x"))];
    assert_eq!(query(&params, Some("id,name")), "a%20b=x&zz=1&fields=id,name");
    assert_eq!(query(&[], Some("id,loc:(a,b),$*")), "fields=id,loc:(a,b),$*");
    assert_eq!(query(&[], Some("")), "");
    assert_eq!(query(&[], None), "");
    assert_eq!(query(&[], Some("id&q=x#y\r\n'é")), "fields=id%26q=x%23y%0D%0A%27%C3%A9");
    assert_eq!(query(&[("a&b=c", json!("d&e=f"))], None), "a%26b%3Dc=d%26e%3Df");
}

#[test]
fn integers_are_exact_and_keys_are_sorted() {
    assert_eq!(
        encode(&json!([i64::MIN, u64::MAX, 9_007_199_254_740_993_i64])),
        format!("List({},{},9007199254740993)", i64::MIN, u64::MAX)
    );
    assert_eq!(encode(&json!({"b": null, "a": 1, "B": true, "é": "", "": "x"})), "('':x,B:true,a:1,b:null,%C3%A9:'')");
}

#[test]
fn an_id_is_raw_unless_it_has_structure() {
    let read = |text: &str| decode_reduced(text).unwrap();
    assert_eq!(read("6844785523593134080"), "6844785523593134080");
    assert_eq!(read("urn:li:adUser:(urn:li:x:1,urn%3Ali%3Ax%3A2)"), "urn:li:adUser:(urn:li:x:1,urn:li:x:2)");
    assert_eq!(read("50%, a+b %20 %2c %zz %"), "50%, a+b %20 , %zz %");
    assert_eq!(read("%2528 %25252C"), "%28 %252C");
    assert_eq!(read("''"), "");
    assert_eq!(read("List"), "List");
    assert_eq!(read("List(a b,(k:é%2Cx,'':''))"), json!(["a b", {"k": "é,x", "": ""}]));
    assert_eq!(decode_reduced("(a:b"), Err(DecodeError::Syntax));
}

#[test]
fn what_does_not_fit_the_grammar_is_refused() {
    let syntax = [
        "",
        "(",
        ")",
        ",",
        ":",
        "List(",
        "a)",
        "a,b",
        "k:v",
        "(a)",
        "(a:)",
        "(:a)",
        "(a:b",
        "(a:b,)",
        "(,a:b)",
        "(a:b:c)",
        "(a:b)c",
        "((a:b):c)",
        "List(,)",
        "List(a,)",
        "List(a",
        "List(a)b",
        "List()()",
        "xList(a)",
        "list(a)",
        "''(",
    ];
    for text in syntax {
        assert_eq!(decode(text), Err(DecodeError::Syntax), "{text}");
    }
    for text in ["%", "%4", "%zz", "a%", "%é", "%+1", "%FF", "%C3", "(a:%E6%97)", "List(%ED%A0%80)"] {
        assert_eq!(decode(text), Err(DecodeError::Escape), "{text}");
    }
    for text in ["(a:b,a:c)", "(a:b,%61:c)", "List((a:b,a:b))"] {
        assert_eq!(decode(text), Err(DecodeError::RepeatedKey), "{text}");
    }
    assert_eq!(decode("it's"), Ok(json!("it's")));
    assert_eq!(decode("a+b%2b"), Ok(json!("a+b+")));
}

#[test]
fn depth_is_bounded() {
    for (open, end) in [("List(", ")"), ("(a:", ")"), ("List((a:", "))")] {
        let nested = |levels: usize| {
            let times = levels / end.len();
            format!("{}x{}", open.repeat(times), end.repeat(times))
        };
        assert!(decode(&nested(64)).is_ok());
        assert_eq!(decode(&nested(64 + end.len())), Err(DecodeError::TooDeep));
        assert_eq!(decode_reduced(&nested(64 + end.len())), Err(DecodeError::TooDeep));
        assert_eq!(decode(&open.repeat(1_000_000)), Err(DecodeError::TooDeep));
    }
}

/// A deterministic generator (SplitMix64).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        usize::try_from((mixed ^ (mixed >> 31)) % u64::try_from(bound).unwrap()).unwrap()
    }

    fn text(&mut self, pieces: &[&str], most: usize) -> String {
        (0..self.below(most + 1)).map(|_| pieces[self.below(pieces.len())]).collect()
    }

    fn string(&mut self) -> String {
        let pieces = [
            "a", "Z", "0", "List", "(", ")", ",", ":", "'", "''", "%", "%2C", "%25", "%27", "+", " ", "/", "?", "#",
            "&", "=", "\0", "\r\n", "\t", "é", "日", "🦀", "\u{7f}", ".", "..", "-", "~", "\\", "\"", "<", "null",
            "true", "1",
        ];
        self.text(&pieces, 6)
    }

    /// A value that the format can carry: strings, lists and maps.
    fn value(&mut self, depth: usize) -> Value {
        match self.below(if depth == 0 { 1 } else { 3 }) {
            0 => json!(self.string()),
            1 => (0..self.below(4)).map(|_| self.value(depth - 1)).collect(),
            _ => Value::Object((0..self.below(4)).map(|_| (self.string(), self.value(depth - 1))).collect()),
        }
    }
}

#[test]
fn what_was_written_is_read_and_survives_a_url() {
    let mut random = Random(1);
    for _ in 0..20_000 {
        let value = random.value(4);
        let (url, reduced) = (encode(&value), encode_reduced(&value));
        assert_eq!(decode(&url).as_ref(), Ok(&value), "{url}");
        assert_eq!(decode_reduced(&reduced).as_ref(), Ok(&value), "{reduced}");
        assert!(url.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.!~*%,()':".contains(&byte)), "{url}");

        let encoded = query(&[(&random.string(), value.clone())], Some(&random.string()));
        let sent = tunnel(Method::Get, "/x", &encoded, None, "b");
        let arrived = Url::parse(&format!("{BASE}/x?{}", sent.query)).unwrap();
        assert_eq!((arrived.query(), arrived.fragment()), (Some(sent.query.as_str()), None));
        assert_eq!(sent.query + std::str::from_utf8(&sent.body).unwrap(), encoded);
        if !matches!(url.as_str(), "." | "..") {
            let address = format!("{BASE}/x/{url}/y");
            assert_eq!(Url::parse(&address).unwrap().as_str(), address);
        }
    }
}

#[test]
fn garbage_never_panics_and_what_is_read_is_stable() {
    let pieces = [
        "a", "List(", "(", ")", ",", ":", "'", "''", "%", "%2", "%2C", "%C3", "%A9", "%00", "%zz", "é", "🦀", "List",
        "",
    ];
    let mut random = Random(2);
    let mut read = 0;
    for _ in 0..100_000 {
        let text = random.text(&pieces, 12);
        if let Ok(value) = decode(&text) {
            assert_eq!(decode(&encode(&value)), Ok(value));
            read += 1;
        }
        if let Ok(value) = decode_reduced(&text) {
            assert_eq!(decode_reduced(&encode_reduced(&value)), Ok(value));
        }
        let bytes: Vec<u8> = (0..random.below(40)).map(|_| u8::try_from(random.below(256)).unwrap()).collect();
        let text = String::from_utf8_lossy(&bytes);
        let _ = (decode(&text), decode_reduced(&text));
    }
    assert!(read > 1_000, "the generator writes too little that can be read: {read}");
}

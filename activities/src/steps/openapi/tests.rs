#![expect(
    clippy::needless_pass_by_value,
    reason = "values are written where they are given"
)]

use proptest::prelude::*;
use serde_json::json;

use super::*;

const BASE: &str = "https://api.example.com:8443/docs/openapi.json";

fn find(document: &Value, id: &str) -> Result<Operation, String> {
    let found = Operation::find(document, id, &BASE.parse().unwrap());
    found.map_err(|error| error.to_string())
}

fn filled(document: &Value, id: &str, values: Value) -> Result<Outgoing, StepError> {
    parameters::fill(&find(document, id).unwrap(), Some(&values), None)
}

fn detail(result: Result<Outgoing, StepError>) -> String {
    result.unwrap_err().fault.detail.unwrap()
}

/// The document of the specification's examples, in what they use of it.
fn petstore() -> Value {
    json!({
        "swagger": "2.0",
        "host": "petstore.swagger.io",
        "basePath": "/v2",
        "schemes": ["http", "https"],
        "paths": {
            "/pet": {"post": {
                "operationId": "addPet", "consumes": ["application/json", "application/xml"],
                "parameters": [{"in": "body", "name": "pet", "required": true}],
            }},
            "/pet/findByStatus": {"get": {
                "operationId": "findPetsByStatus",
                "parameters": [{
                    "name": "status", "in": "query", "required": true, "type": "array",
                    "collectionFormat": "multi",
                }],
            }},
            "/pet/{petId}": {
                "get": {
                    "operationId": "getPetById",
                    "parameters": [{"name": "petId", "in": "path", "required": true}],
                },
                "post": {
                    "operationId": "updatePetWithForm",
                    "parameters": [
                        {"name": "petId", "in": "path", "required": true},
                        {"name": "name", "in": "formData", "type": "string"},
                    ],
                },
                "delete": {
                    "operationId": "deletePet",
                    "parameters": [
                        {"name": "api_key", "in": "header"},
                        {"$ref": "#/parameters/petId"},
                    ],
                },
            },
            "/pet/{petId}/uploadImage": {"post": {
                "operationId": "uploadFile",
                "parameters": [{"name": "file", "in": "formData", "type": "file"}],
            }},
        },
        "parameters": {"petId": {"name": "petId", "in": "path", "required": true}},
    })
}

#[test]
fn operations_of_swagger_are_called() {
    let store = petstore();
    let out = filled(
        &store,
        "findPetsByStatus",
        json!({"status": ["sold", "a b"]}),
    )
    .unwrap();
    assert_eq!(
        out.url.as_str(),
        "https://petstore.swagger.io/v2/pet/findByStatus?status=sold&status=a%20b"
    );
    let out = filled(&store, "getPetById", json!({"petId": 1})).unwrap();
    assert_eq!(out.url.as_str(), "https://petstore.swagger.io/v2/pet/1");
    let out = filled(&store, "addPet", json!({"pet": {"name": "Rex"}})).unwrap();
    assert_eq!(out.method.as_str(), "POST");
    assert_eq!(out.body.unwrap(), br#"{"name":"Rex"}"#);
    assert_eq!(out.headers["content-type"], "application/json");
    let out = filled(
        &store,
        "updatePetWithForm",
        json!({"petId": 1, "name": "a&b"}),
    )
    .unwrap();
    assert_eq!(out.body.unwrap(), b"name=a%26b");
    let out = filled(&store, "deletePet", json!({"petId": "x", "api_key": "k"})).unwrap();
    assert_eq!(out.headers["api_key"], "k");
    assert!(find(&store, "uploadFile").unwrap_err().contains("a file"));
}

#[test]
fn parameters_that_do_not_fit_are_refused() {
    let store = petstore();
    assert!(
        find(&store, "getPet")
            .unwrap_err()
            .contains("its operation ids: addPet, findPetsByStatus")
    );
    let message = detail(filled(&store, "getPetById", json!({})));
    assert!(message.contains("`petId` is required"), "{message}");
    let message = detail(filled(&store, "getPetById", json!({"petId": null})));
    assert!(message.contains("`petId` is required"), "{message}");
    let message = detail(filled(&store, "addPet", json!({})));
    assert!(message.contains("`pet` is required"), "{message}");
    let message = detail(filled(&store, "getPetById", json!({"petId": 1, "x": 1})));
    assert!(
        message.contains("no parameter \"x\"; its parameters: petId"),
        "{message}"
    );
    for petid in [json!(""), json!("."), json!("..")] {
        let message = detail(filled(&store, "getPetById", json!({"petId": petid})));
        assert!(message.contains("cannot be"), "{message}");
    }
    // What is put into a path stays within its part of it.
    let out = filled(&store, "getPetById", json!({"petId": "../../a?b#c"})).unwrap();
    assert_eq!(out.url.path(), "/v2/pet/..%2F..%2Fa%3Fb%23c");
    for document in [
        json!({}),
        json!({"swagger": "1.2"}),
        json!({"openapi": "4.0"}),
        json!([]),
    ] {
        assert!(find(&document, "x").unwrap_err().contains("neither"));
    }
    for (reference, why) in [
        ("other.json#/a", "another document"),
        ("#/parameters/none", "does not exist"),
        ("#/parameters/loop", "form a cycle"),
    ] {
        let document = json!({
            "swagger": "2.0",
            "parameters": {"loop": {"$ref": "#/parameters/loop"}},
            "paths": {"/": {"get": {"operationId": "x", "parameters": [{"$ref": reference}]}}},
        });
        assert!(
            find(&document, "x").unwrap_err().contains(why),
            "{reference}"
        );
    }
}

/// A document with one operation, of these parameters.
fn with(parameters: Value) -> Value {
    json!({
        "openapi": "3.1.0",
        "paths": {"/a/{p}": {
            "parameters": [{"name": "p", "in": "path", "style": "simple"}],
            "get": {"operationId": "x", "parameters": parameters},
        }},
    })
}

#[test]
fn parameters_are_written_in_the_styles_of_openapi() {
    let list = json!(["a", "b"]);
    let map = json!({"r": 1, "g": 2});
    for (more, value, query) in [
        (json!({}), &list, "q=a&q=b"),
        (json!({"explode": false}), &list, "q=a,b"),
        (
            json!({"style": "spaceDelimited", "explode": false}),
            &list,
            "q=a%20b",
        ),
        (json!({"style": "pipeDelimited"}), &list, "q=a%7Cb"),
        (json!({}), &map, "g=2&r=1"),
        (json!({"explode": false}), &map, "q=g,2,r,1"),
        (
            json!({"style": "deepObject"}),
            &map,
            "q%5Bg%5D=2&q%5Br%5D=1",
        ),
        (
            json!({"content": {"application/json": {}}}),
            &map,
            "q=%7B%22g%22%3A2%2C%22r%22%3A1%7D",
        ),
    ] {
        let mut parameter = json!({"name": "q", "in": "query"});
        for (key, value) in more.as_object().unwrap() {
            parameter[key] = value.clone();
        }
        let out = filled(&with(json!([parameter])), "x", json!({"p": 1, "q": value})).unwrap();
        let mut pairs: Vec<&str> = out.url.query().unwrap().split('&').collect();
        let mut wanted: Vec<&str> = query.split('&').collect();
        pairs.sort_unstable();
        wanted.sort_unstable();
        assert_eq!(pairs, wanted, "{parameter}");
    }
    let matrix = with(json!([{"name": "q", "in": "query", "style": "matrix"}]));
    assert!(find(&matrix, "x").unwrap_err().contains("not supported"));
    let cookie = with(json!([{"name": "c", "in": "cookie"}]));
    let out = filled(&cookie, "x", json!({"p": 1, "c": "a;b"})).unwrap();
    assert_eq!(out.headers["cookie"], "c=a%3Bb");
}

/// RFC 6570, 3.2.2 and 3.2.8: what separates is not encoded, what is separated is.
#[test]
fn lists_and_maps_differ_from_texts_with_commas() {
    let (list, map) = (json!(["a,b", "c d"]), json!({"r": "1=2", "g": [3, 4]}));
    let sent = |place: &str, explode: bool, value: &Value| {
        let name = if place == "path" { "p" } else { "q" };
        let parameter = json!({"name": name, "in": place, "explode": explode});
        let mut values = json!({"p": 1});
        values[name] = value.clone();
        let out = filled(&with(json!([parameter])), "x", values).unwrap();
        match place {
            "path" => out.url.path().trim_start_matches("/a/").to_owned(),
            "query" => out.url.query().unwrap().to_owned(),
            "header" => out.headers["q"].to_str().unwrap().to_owned(),
            _ => out.headers["cookie"].to_str().unwrap().to_owned(),
        }
    };
    for (place, explode, of_list, of_map) in [
        ("path", false, "a%2Cb,c%20d", "g,3%2C4,r,1%3D2"),
        ("path", true, "a%2Cb,c%20d", "g=3%2C4,r=1%3D2"),
        ("query", false, "q=a%2Cb,c%20d", "q=g,3%2C4,r,1%3D2"),
        ("query", true, "q=a%2Cb&q=c%20d", "g=3%2C4&r=1%3D2"),
        ("header", false, "a,b,c d", "g,3,4,r,1=2"),
        ("header", true, "a,b,c d", "g=3,4,r=1=2"),
        (
            "cookie",
            false,
            "q=a%2Cb%2Cc%20d",
            "q=g%2C3%2C4%2Cr%2C1%3D2",
        ),
    ] {
        assert_eq!(sent(place, explode, &list), of_list, "{place} {explode}");
        assert_eq!(sent(place, explode, &map), of_map, "{place} {explode}");
    }
    assert_eq!(sent("path", false, &json!("a,b")), "a%2Cb");
    // What data says is in no other part of the address.
    assert_eq!(
        sent("path", true, &json!({"../#": "/?"})),
        "..%2F%23=%2F%3F"
    );
}

#[test]
fn servers_are_relative_to_the_document() {
    for (servers, url) in [
        (json!(null), "https://api.example.com:8443/a/1"),
        (
            json!([{"url": "/v1/"}]),
            "https://api.example.com:8443/v1/a/1",
        ),
        (
            json!([{"url": "v2"}]),
            "https://api.example.com:8443/docs/v2/a/1",
        ),
        (json!([{"url": "http://other/x"}]), "http://other/x/a/1"),
        (
            json!([{"url": "https://{region}.x/{v}", "variables": {"region": {"default": "eu"}, "v": {"default": "3"}}}]),
            "https://eu.x/3/a/1",
        ),
    ] {
        let mut document = with(json!([]));
        document["servers"] = servers;
        let out = filled(&document, "x", json!({"p": 1})).unwrap();
        assert_eq!(out.url.as_str(), url);
    }
    let mut document = petstore();
    for key in ["host", "schemes", "basePath"] {
        document.as_object_mut().unwrap().remove(key);
    }
    let out = filled(&document, "getPetById", json!({"petId": 1})).unwrap();
    assert_eq!(out.url.as_str(), "https://api.example.com:8443/pet/1");
}

#[test]
fn a_body_gets_the_content_type_that_suits_the_data_best() {
    let of = |body: Value| json!({"openapi": "3.0.0", "paths": {"/": {"post": {"operationId": "x", "requestBody": body}}}});
    for (content, data, kind, sent) in [
        (
            json!({"text/plain": {}, "application/json": {}}),
            json!({"a": 1}),
            "application/json",
            r#"{"a":1}"#,
        ),
        (
            json!({"application/json": {}}),
            json!("text"),
            "application/json",
            r#""text""#,
        ),
        (
            json!({"application/hal+json": {}, "x/y": {}}),
            json!([1]),
            "application/hal+json",
            "[1]",
        ),
        (
            json!({"application/x-www-form-urlencoded": {}}),
            json!({"a": "b c"}),
            "application/x-www-form-urlencoded",
            "a=b%20c",
        ),
        (json!({"text/csv": {}}), json!("a,b"), "text/csv", "a,b"),
        (json!({"*/*": {}}), json!(1), "application/json", "1"),
    ] {
        let document = of(json!({"content": content}));
        let out = filled(&document, "x", json!({"body": data})).unwrap();
        assert_eq!(out.headers["content-type"], kind);
        assert_eq!(String::from_utf8(out.body.unwrap()).unwrap(), sent);
    }
    let document =
        of(json!({"required": true, "x-bodyName": "pet", "content": {"application/json": {}}}));
    assert!(detail(filled(&document, "x", json!({}))).contains("`pet` is required"));
    let document = of(json!({"content": {"multipart/form-data": {}}}));
    assert!(find(&document, "x").unwrap_err().contains("not supported"));
}

#[test]
fn a_document_is_json_or_yaml() {
    let json = read(br#"{"openapi": "3.0.0"}"#).unwrap();
    assert_eq!(read(b"openapi: 3.0.0\n").unwrap(), json);
    assert_eq!(read("\u{feff}openapi: '3.0.0'".as_bytes()).unwrap(), json);
    assert_eq!(
        read(b"responses: {200: {}}").unwrap(),
        json!({"responses": {"200": {}}})
    );
    for (text, why) in [
        (b"{" as &[u8], "EOF"),
        (b"a: *b", "aliases"),
        (b"a: [", ""),
        (b"", "empty"),
        (b"\xff", "UTF-8"),
    ] {
        assert!(read(text).unwrap_err().contains(why), "{text:?}");
    }
}

/// Values of what documents are made of.
fn parts() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "(x|get|path|query|body|formData|/a/\\{x\\}|#/paths|#/a~1|csv|form|https?://[a-z\\{]{0,3}|\\PC{0,4})"
            .prop_map(Value::from),
    ];
    let key = "(paths|/a/\\{x\\}|get|operationId|parameters|name|in|required|style|explode|\\$ref|servers|url|variables|default|requestBody|content|application/json|host|basePath|schemes|consumes|collectionFormat|x)";
    leaf.prop_recursive(6, 40, 5, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(key, inner, 0..5).prop_map(|map| map.into_iter().collect()),
        ]
    })
}

proptest! {
    #[test]
    fn any_document_can_be_searched_without_a_panic(
        parts in parts(), operation in parts(), values in parts(), old: bool,
    ) {
        let mut operation = operation;
        if let Some(map) = operation.as_object_mut() {
            map.insert("operationId".to_owned(), json!("x"));
        }
        let mut document = json!({"paths": {"/a/{x}": {"parameters": [&parts], "get": operation}}});
        document["parameters"] = parts.clone();
        document["servers"] = json!([&parts]);
        document[if old { "swagger" } else { "openapi" }] = json!(if old { "2.0" } else { "3.0.0" });
        if let Ok(operation) = find(&document, "x") {
            let _request = parameters::fill(&operation, Some(&values), None);
        }
    }
}

#[test]
fn credentials_do_not_leave_https() {
    let downgrade =
        |from: &str, to: &str| is_downgrade(&from.parse().unwrap(), &to.parse().unwrap());
    assert!(downgrade(
        "https://x.example/api.json",
        "http://x.example/v1"
    ));
    assert!(!downgrade(
        "https://x.example/api.json",
        "https://y.example/v1"
    ));
    assert!(!downgrade(
        "http://x.example/api.json",
        "http://x.example/v1"
    ));
}

/// Each variable is replaced by its text, in which nothing is replaced again.
#[test]
fn server_variables_are_not_expanded_recursively() {
    let with = |variables: Value, url: &str| {
        json!({
            "openapi": "3.0.0",
            "servers": [{ "url": url, "variables": variables }],
            "paths": { "/x": { "get": { "operationId": "x" } } },
        })
    };
    let plain = with(
        json!({ "host": { "default": "api" }, "base": { "default": "{host}" } }),
        "https://{host}.example/{base}/{other}",
    );
    let server = find(&plain, "x").unwrap().server;
    assert_eq!(
        server.as_str(),
        "https://api.example/%7Bhost%7D/%7Bother%7D"
    );
    let doubled: serde_json::Map<String, Value> = (0..60)
        .map(|n| {
            let next = format!("{{v{:03}}}", n + 1);
            (format!("v{n:03}"), json!({ "default": next.repeat(2) }))
        })
        .collect();
    find(&with(doubled.into(), "https://x.example/{v000}"), "x").unwrap();
    let long = with(
        json!({ "v": { "default": "x".repeat(1000) } }),
        &"{v}".repeat(10),
    );
    let error = find(&long, "x").unwrap_err();
    assert_eq!(error, "a server's address has more than 8192 bytes");
}

#[test]
fn the_parameters_of_an_operation_are_bounded() {
    let many = |count: usize| {
        let parameters: Vec<Value> = (0..count)
            .map(|n| json!({ "name": format!("p{n}"), "in": "query" }))
            .collect();
        json!({
            "openapi": "3.0.0",
            "paths": { "/x": { "get": { "operationId": "x", "parameters": parameters } } },
        })
    };
    assert_eq!(find(&many(1000), "x").unwrap().parameters.len(), 1000);
    let error = find(&many(250_000), "x").unwrap_err();
    assert_eq!(error, "an operation has more than 1000 parameters");
    let long = json!({
        "openapi": "3.0.0",
        "paths": { ("/{a}".repeat(9000)): { "get": {
            "operationId": "x", "parameters": [{ "name": "a", "in": "path", "required": true }],
        } } },
    });
    let error = filled(&long, "x", json!({ "a": "x".repeat(100) }));
    assert_eq!(
        detail(error),
        "the operation's path has more than 65536 bytes"
    );
}

#[test]
fn a_document_in_yaml_is_smaller_than_one_in_json() {
    let yaml = format!("# {}\nopenapi: 3.0.0\n", "x".repeat(YAML_LIMIT));
    assert_eq!(
        read(yaml.as_bytes()).unwrap_err(),
        "YAML can have at most 2097152 bytes, JSON more"
    );
    assert!(read(yaml.replace('x', "").as_bytes()).is_ok());
}

//! Further results of ordinary expressions, and the results that differ from jq.

/// Expression, input, result; all as jq writes them.
pub(super) const TEXTS: &[(&str, &str, &str)] = &[
    // Strings.
    (
        "[split(\",\"), (split(\",\") | join(\"-\"))]",
        r#""a,b""#,
        r#"[["a","b"],"a-b"]"#,
    ),
    ("join(\",\")", r#"["a",1,null,true]"#, r#""a,1,,true""#),
    (
        "[ascii_downcase, ascii_upcase, length, utf8bytelength]",
        r#""aÄ""#,
        r#"["aÄ","AÄ",2,3]"#,
    ),
    (
        "[ltrimstr(\"a\"), rtrimstr(\"c\"), startswith(\"a\"), endswith(\"b\")]",
        r#""abc""#,
        r#"["bc","ab",true,false]"#,
    ),
    ("[trim, ltrim, rtrim]", r#""  a ""#, r#"["a","a ","  a"]"#),
    (
        "[tostring, tojson, (tojson | fromjson)]",
        r#"{"a":[1,"x"]}"#,
        r#"["{\"a\":[1,\"x\"]}","{\"a\":[1,\"x\"]}",{"a":[1,"x"]}]"#,
    ),
    (
        "[explode, (explode | implode)]",
        r#""aé""#,
        r#"[[97,233],"aé"]"#,
    ),
    (
        "[@base64, (@base64 | @base64d), @uri, @sh, @json, @text]",
        r#""<ü 'x'>""#,
        r#"["PMO8ICd4Jz4=","<ü 'x'>","%3C%C3%BC%20%27x%27%3E","'<ü '\\''x'\\''>'","\"<ü 'x'>\"","<ü 'x'>"]"#,
    ),
    (
        "@uri \"https://x/?q=\\(.q)\"",
        r#"{"q":"a b&c"}"#,
        r#""https://x/?q=a%20b%26c""#,
    ),
    (
        "[@csv, @tsv]",
        r#"[1,"a\"b",null,true]"#,
        r#"["1,\"a\"\"b\",,true","1\ta\"b\t\ttrue"]"#,
    ),
    ("@base64 \"u:\\(.)\"", r#""ab""#, r#""u:YWI=""#),
    // Regular expressions.
    (
        "[test(\"^a.c$\"), test(\"B\"; \"i\"), test(\"x\")]",
        r#""abc""#,
        "[true,true,false]",
    ),
    (
        "[match(\"(?<n>[0-9])([a-z])?\"; \"g\") | [.offset, .length, .string, (.captures | map(.name, .string))]]",
        r#""é1a2""#,
        r#"[[1,2,"1a",["n","1",null,"a"]],[3,1,"2",["n","2",null,null]]]"#,
    ),
    (
        "capture(\"(?<y>\\\\d+)-(?<m>\\\\d+)\")",
        r#""2026-11""#,
        r#"{"m":"11","y":"2026"}"#,
    ),
    (
        "[scan(\"[a-z]\")], [scan(\"([a-z])([0-9])\")] | tojson",
        r#""a1b2""#,
        r#""[\"a\",\"b\"]""#,
    ),
    (
        "[sub(\"a\"; \"x\"), gsub(\"a\"; \"x\"), gsub(\"(?<c>[ab])\"; \"<\\(.c)>\")]",
        r#""aba""#,
        r#"["xba","xbx","<a><b><a>"]"#,
    ),
    (
        "[splits(\", *\")], split(\", *\"; null) | length",
        r#""a, b,c""#,
        "3",
    ),
    ("gsub(\"\"; \"-\")", r#""ab""#, r#""-a-b-""#),
    // Numbers and times.
    (
        "[floor, ceil, round, fabs, sqrt]",
        "2.25",
        "[2,3,2,2.25,1.5]",
    ),
    (
        "[(-1.5 | floor, ceil, round, trunc, abs), (-3 | abs, fabs, floor)]",
        "null",
        "[-2,-1,-2,-1,1.5,3,3,-3]",
    ),
    (
        "[todate, (todate | fromdate), strftime(\"%Y-%m-%d %H:%M:%S %j %a %b\")]",
        "1425599621",
        r#"["2015-03-05T23:53:41Z",1425599621,"2015-03-05 23:53:41 064 Thu Mar"]"#,
    ),
    (
        "[1, 1.5, -7] | map(tostring)",
        "null",
        r#"["1","1.5","-7"]"#,
    ),
    ("limit(0; 1), \"none\"", "null", r#""none""#),
    (
        "[splits(\"a+\"; \"gi\")]",
        r#""xAAyaz""#,
        r#"["x","y","z"]"#,
    ),
    (
        "[to_entries[] | select(.value > 1) | .key]",
        r#"{"a":1,"b":2}"#,
        r#"["b"]"#,
    ),
    (
        "[.[] | {n: .name, first: (.tags[0] // null)}]",
        r#"[{"name":"x","tags":["t"]}]"#,
        r#"[{"first":"t","n":"x"}]"#,
    ),
];

/// Expression, input, result; each differs from libjq's for the reason above it.
pub(super) const DIFFERENT: &[(&str, &str, &str)] = &[
    // Whole numbers are exact; jq computes with doubles.
    ("9007199254740993 - 1", "null", "9007199254740992"),
    ("18446744073709551615 - 1", "null", "18446744073709551614"),
    // Objects are in the order of their keys: JSON promises none, and a replay needs one.
    ("[.[]]", r#"{"b":1,"a":2}"#, "[2,1]"),
    ("to_entries | map(.key)", r#"{"b":1,"a":2}"#, r#"["a","b"]"#),
    // As jq's manual has it.
    ("[limit(3; 1 | repeat(. * 2))]", "null", "[2,2,2]"),
    ("@html", r#""<'>""#, r#""&lt;&#39;&gt;""#),
    (
        "from_entries",
        r#"[{"key":null},{"key":false}]"#,
        r#"{"false":null,"null":null}"#,
    ),
    // As jq writes what it has computed.
    (
        "[1e3, 100000000000000000000] | map(tostring)",
        "null",
        r#"["1000","1e+20"]"#,
    ),
    // The classes and cases of regular expressions are ASCII's.
    (
        "[test(\"\\\\w\"), test(\"Ä\"; \"i\")]",
        r#""ä""#,
        "[false,false]",
    ),
    // One result for each of the replacement's.
    ("[sub(\"a\"; \"x\", \"y\")]", r#""a""#, r#"["x","y"]"#),
    // An empty match directly after a match counts.
    ("gsub(\"[a-z]*\"; \"x\")", r#""a1b""#, r#""xx1xx""#),
];

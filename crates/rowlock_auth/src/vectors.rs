//! Tokens made by another implementation (PyJWT 2.15, its keys thrown away): what is read here
//! must be what others write. All carry `{"role":"authenticated","sub":"u","exp":4102444800}`.

/// The secret of the HMAC tokens.
pub(crate) const SECRET: &str = "ssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssss";

/// The public keys.
pub(crate) const JWKS: &str = r#"{"keys":[
{"kty":"RSA","n":"zzqeI0Uvwix6GeMSg7KSNIlr5hgnEmf2SyQKbgSy-frHglc83gPNFqggo4uohKu38Y4TMGF0YcwGZnJ2qEIgay2GdcVGcVBbO5tKxT_sXG0H3xiwa_cZN8dEuAUmO-nz_KEI6Ns_XjW4eQM5fnVHru9k1-cJsFql5U6A6VjCZqDdnkwA-UgPvGoZSodc_hxkF2DNken6e2R-tSoJF55a74bX4ReLaWetej9qCCSQdVMLhn_ELOscuVw64VhrwEkXaWRVcJONJq02ArDeoIq7F6JoSrtW2Bfye3ZJk8Bl0nb9OtHI6IA1i-wrQmRYl5PHFPi239BNft3mn0b3q9HMow","e":"AQAB","kid":"r"},
{"kty":"EC","crv":"P-256","x":"-QFrNmiAcRh-F8BpQOfHqAnyJlYrTq-lnde_z_kR0d4","y":"m9fQYfVFNdLYPjbgwhheCrJ-S_m_B9SjM0aLrWxfeGE","kid":"p256"},
{"kty":"EC","crv":"P-384","x":"szk7LIH50HvjiwA4EEvGpUZPDfMYis52jhFcY0JGFPxeNWXAQBDyzOB3gIFYjAjv","y":"lrpsNuiLIFyQ8Ri52c8WJCdbRMmavbiSzN_jSHoxI-h9ZF34oONAh4U3R3z9H-TN","kid":"p384"},
{"kty":"EC","crv":"P-521","x":"AA2HIQQhcM5mZJHeJHb7PWZQkiNcGTxGNlkV84cGDNGYIci9SqR10_GIiydLRJ4WrdncWbljZbu46-9FmbOZUdgS","y":"AZqTMwBPJdMcFN2sVa2i0CRsFJjYv0IUdBoBmjj3hHMP14OfFOfLv6guxkO8SLM14pdz0snJ_1Avzd_pejzXwxtk","kid":"p521"},
{"kty":"OKP","crv":"Ed25519","x":"ZSga5kSvthjr08x04QvGcLam6r4Hd2zzZivPpS-e0ns","kid":"ed"}
]}"#;

/// Algorithm and token.
pub(crate) const TOKENS: &[(&str, &str)] = &[
    (
        "RS256",
        "eyJhbGciOiJSUzI1NiIsImtpZCI6InIiLCJ0eXAiOiJKV1QifQ.eyJyb2xlIjoiYXV0aGVudGljYXRlZCIsInN1YiI6InUiLCJleHAiOjQxMDI0NDQ4MDB9.ryswW1lYAXdny5AMn_5tVwape4kAeAnPyfe8uOYrZAMCpbheN-cbe0iep_07QE1RFOtXsZ3n-UQizL-Nvld5KMyfvxubhuy0wHbvqQoY3dkYq8ez82K7qrThND_HM1ZoUlbkhf7kc7VtlTo6tZPOmVvQqW-bUvLgZ9asos8RnfAIICMPucwEXv7YmM65yb_ai5QC2GDIdXTGaTqEiHqdrCdRAuVHa35sA4JKUF7_VtVblVtmdrI0sRqJgMFPmu5xfRiLZ0g3E4lrzLeEY-IQMXdE-WqqP2H9NGuaXQJQTKn_8G95LkLHLZ8s5dBC1gdAEjGK_xr-3wlFHwNKXmXdSw",
    ),
    (
        "PS384",
        "eyJhbGciOiJQUzM4NCIsImtpZCI6InIiLCJ0eXAiOiJKV1QifQ.eyJyb2xlIjoiYXV0aGVudGljYXRlZCIsInN1YiI6InUiLCJleHAiOjQxMDI0NDQ4MDB9.T61aM4WIB_IPxpceO-FuEJGATO5Z8ImE44MXAxr5oVjoqCoiWIm0ImC9IkZfuMuSJdgK9htbFEH38YBudZ83-CZmXQspbS7yZT285gaivDltNySMsdzJIzywftiWQRONBfonULNS1bZTGNZb81xwoCv5CI-r8LoHxlX6R6kRTBbS6XaliahKVlY7a6vlNAv7xEz87XYz-x1oA1_6M9Pb-dkNDYX88sw8ykuT7H6MvDv3n0UlcceEu2_AHRbNaV3PetaYuQtgmh7rDDKQhCRjZ0vTwUDy08t3ciyFFy50WAmASYsEpYbGv58TA_LddkWEwX1enYpR3PlIfpiA7BcDJg",
    ),
    (
        "ES256",
        "eyJhbGciOiJFUzI1NiIsImtpZCI6InAyNTYiLCJ0eXAiOiJKV1QifQ.eyJyb2xlIjoiYXV0aGVudGljYXRlZCIsInN1YiI6InUiLCJleHAiOjQxMDI0NDQ4MDB9.U_Ps1oqpZCtLlKD-ReYfpk1NMO_mbK76FkV4Dux78nUWTVRd-6LBYUApWV2Kn3ItU2O9fVHlIDldFiHBj4DX3A",
    ),
    (
        "ES384",
        "eyJhbGciOiJFUzM4NCIsImtpZCI6InAzODQiLCJ0eXAiOiJKV1QifQ.eyJyb2xlIjoiYXV0aGVudGljYXRlZCIsInN1YiI6InUiLCJleHAiOjQxMDI0NDQ4MDB9.EPT8QeVl1hYo5_GH2ZhlmQvij6_O74sSaGPQraXBPdOCADjIo6aTyj6n9MgQmu8zHNffPDF0v6A6Z8W6-nIiY6C_bHsD2PmRzZufr8vyUQeCovrDIFwMR88040nheiqn",
    ),
    (
        "ES512",
        "eyJhbGciOiJFUzUxMiIsImtpZCI6InA1MjEiLCJ0eXAiOiJKV1QifQ.eyJyb2xlIjoiYXV0aGVudGljYXRlZCIsInN1YiI6InUiLCJleHAiOjQxMDI0NDQ4MDB9.AfuFiyu6H-FMCKYJSeGHhXNYZKioKDlSb4OjzJkBdFFbGShNmsBXA4pwv4w-mWrNbMEqBG5cWFboXhiNrw5Twe9yASHw93ySw5R2QuHXF7Dfsi4I4xFFBwBy_W_Jd3hhi3K7ClYPbECW-m5eIJPtFpi2N0XA3haU8XIdlAjezNagJzJ-",
    ),
    (
        "EdDSA",
        "eyJhbGciOiJFZERTQSIsImtpZCI6ImVkIiwidHlwIjoiSldUIn0.eyJyb2xlIjoiYXV0aGVudGljYXRlZCIsInN1YiI6InUiLCJleHAiOjQxMDI0NDQ4MDB9.M2qke1RYiHhBYc4GRUkrPH1p_xnb7ZPeD5cWD1ai1uLdYfCQdB6hrm3viuenJn7FYA65zGo0fZplYvQtefPTBQ",
    ),
    (
        "HS256",
        "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJyb2xlIjoiYXV0aGVudGljYXRlZCIsInN1YiI6InUiLCJleHAiOjQxMDI0NDQ4MDB9.xWSlGRqnHgZrT9kabaupOB6peQ01mQL2gRhhoL_0IX0",
    ),
    (
        "HS384",
        "eyJhbGciOiJIUzM4NCIsInR5cCI6IkpXVCJ9.eyJyb2xlIjoiYXV0aGVudGljYXRlZCIsInN1YiI6InUiLCJleHAiOjQxMDI0NDQ4MDB9.ISxkNq9uQsiwa5kseNAMPgAFc0ywm2BKf4YVMMVbUEYVLc0fC1Cxu5k0nKrIAk1x",
    ),
    (
        "HS512",
        "eyJhbGciOiJIUzUxMiIsInR5cCI6IkpXVCJ9.eyJyb2xlIjoiYXV0aGVudGljYXRlZCIsInN1YiI6InUiLCJleHAiOjQxMDI0NDQ4MDB9.zhcWNE_8kjI1SFDIXS-99sWdSc2yHwM1voet3Vs2NglzBh7HUdcAVMLyG4R9C0wv45NPubxsTO50d_FUEG7t8w",
    ),
];

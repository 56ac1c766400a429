//! Real clients: each sends a letter to bob and fetches it, and the bytes are compared.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use harness::Site;

const FROM: &str = "alice@posthouse.test";
const TO: &str = "bob@posthouse.test";

/// A letter as a file of a Unix program: LF line ends, a dot line, 8-bit text.
fn letter(subject: &str) -> String {
    format!(
        "From: Alice <{FROM}>\nTo: Bob <{TO}>\nSubject: {subject}\nMIME-Version: 1.0\n\
         Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\n\
         .a dot\n..\nGrüße aus dem Posthaus\n\nend\n"
    )
}

/// The body as it must come out, CRLF line ends.
const BODY: &str = "\r\n\r\n.a dot\r\n..\r\nGrüße aus dem Posthaus\r\n\r\nend\r\n";

/// Runs a client with `input`; it must succeed.
fn run(command: &mut Command, input: &str) -> Output {
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

/// The one message in bob's mailbox has our body.
fn arrived(site: &Site, subject: &str) {
    let messages = site.fetch(site.bob(), 1).unwrap();
    let message = String::from_utf8(messages[0].clone()).unwrap();
    assert!(
        message.contains(&format!("Subject: {subject}\r\n")),
        "{message}"
    );
    // swaks sends an empty line of its own after the file.
    let message = match subject.starts_with("swaks") {
        true => message.strip_suffix("\r\n").unwrap(),
        false => &message,
    };
    assert!(message.ends_with(BODY), "{message:?}");
}

/// A letter is in bob's mailbox, to be fetched.
fn site_with_letter(subject: &str) -> Site {
    let site = Site::running().unwrap();
    let mut smtp = site.smtp_client().unwrap();
    smtp.deliver(
        FROM,
        &[TO],
        letter(subject).replace('\n', "\r\n").as_bytes(),
    )
    .unwrap();
    site.fetch(site.bob(), 1).unwrap();
    site
}

/// A private file of the site's folder.
fn file(site: &Site, name: &str, content: &str) -> PathBuf {
    let path = site.dir().join(name);
    fs::write(&path, content).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    path
}

fn has_letter(text: &str, subject: &str) {
    let unix = text.replace("\r\n", "\n");
    assert!(unix.contains(&format!("Subject: {subject}\n")), "{unix}");
    assert!(unix.contains(&BODY.replace("\r\n", "\n")), "{unix:?}");
}

#[test]
fn swaks_sends() {
    let site = Site::running().unwrap();
    let data = file(&site, "letter", &letter("swaks"));
    let mut swaks = Command::new("swaks");
    swaks
        .arg("--server")
        .arg(site.smtp().to_string())
        .args(["--from", FROM, "--to", TO, "--data"]);
    run(swaks.arg(format!("@{}", data.display())), "");
    arrived(&site, "swaks");
}

#[test]
fn swaks_pipelines() {
    let site = Site::running().unwrap();
    let data = file(&site, "letter", &letter("swaks, pipelining"));
    let mut swaks = Command::new("swaks");
    swaks.arg("--server").arg(site.smtp().to_string()).args([
        "--from",
        FROM,
        "--to",
        TO,
        "--pipeline",
        "--data",
    ]);
    run(swaks.arg(format!("@{}", data.display())), "");
    arrived(&site, "swaks, pipelining");
}

#[test]
fn msmtp_sends() {
    let site = Site::running().unwrap();
    let mut msmtp = Command::new("msmtp");
    msmtp.args(["--file=/dev/null", "--tls=off", "--auth=off"]);
    msmtp
        .arg(format!("--host={}", site.smtp().ip()))
        .arg(format!("--port={}", site.smtp().port()));
    run(
        msmtp.arg(format!("--from={FROM}")).arg(TO),
        &letter("msmtp"),
    );
    arrived(&site, "msmtp");
}

#[test]
fn curl_sends_and_fetches() {
    let site = Site::running().unwrap();
    let data = file(&site, "letter", &letter("curl").replace('\n', "\r\n"));
    let mut curl = Command::new("curl");
    curl.args([
        "--silent",
        "--show-error",
        "--mail-from",
        FROM,
        "--mail-rcpt",
        TO,
        "--upload-file",
    ]);
    run(curl.arg(&data).arg(format!("smtp://{}", site.smtp())), "");
    arrived(&site, "curl");
    let mut curl = Command::new("curl");
    curl.args([
        "--silent",
        "--show-error",
        "--user",
        &format!("{TO}:{}", site.bob().password),
    ]);
    let output = run(curl.arg(format!("pop3://{}/1", site.pop3())), "");
    let fetched = String::from_utf8(output.stdout).unwrap();
    assert!(fetched.ends_with(BODY), "{fetched:?}");
}

#[test]
fn mutt_sends() {
    let site = Site::running().unwrap();
    let settings = format!(
        "set smtp_url=\"smtp://{}\"\nset from=\"{FROM}\"\nset ssl_starttls=no\nset ssl_force_tls=no\n\
         set copy=no\nset use_envelope_from=yes\n",
        site.smtp()
    );
    let settings = file(&site, "muttrc", &settings);
    let mut mutt = Command::new("mutt");
    mutt.env("HOME", site.dir())
        .args(["-n", "-s", "mutt", "-F"])
        .arg(settings)
        .arg(TO);
    run(&mut mutt, ".a dot\n..\nGrüße aus dem Posthaus\n\nend\n");
    let messages = site.fetch(site.bob(), 1).unwrap();
    let message = String::from_utf8_lossy(&messages[0]).into_owned();
    assert!(message.contains("Subject: mutt\r\n"), "{message}");
    assert!(message.contains("\r\n\r\n.a dot\r\n..\r\n"), "{message}");
}

#[test]
fn mutt_reads_over_pop3() {
    let site = site_with_letter("mutt reads");
    let copy = site.dir().join("copy");
    let settings = format!(
        "set pop_authenticators=\"user\"\nset ssl_starttls=no\nset ssl_force_tls=no\nset pop_delete=no\n\
         set delete=no\nset quit=yes\nset move=no\nset wait_key=no\nset pipe_decode=no\n\
         set folder=\"{}\"\npush \"<pipe-message>cat > {}<enter><quit>\"\n",
        site.dir().display(),
        copy.display()
    );
    let settings = file(&site, "muttrc", &settings);
    let user = TO.replace('@', "%40");
    let mailbox = format!("pop://{user}:{}@{}/", site.bob().password, site.pop3());
    // mutt wants a terminal: script(1) lends it one.
    let inside = format!("mutt -n -F {} -f {mailbox}", settings.display());
    let mut script = Command::new("script");
    script
        .env("HOME", site.dir())
        .env("TERM", "xterm")
        .args(["-qec", &inside, "/dev/null"]);
    let shown = run(&mut script, "");
    let copied = fs::read_to_string(copy);
    let copied = copied.unwrap_or_else(|error| panic!("{error}: {shown:?}"));
    has_letter(&copied, "mutt reads");
}

#[test]
fn mpop_fetches() {
    let site = site_with_letter("mpop");
    let mailbox = site.dir().join("mpop-mailbox");
    let mut mpop = Command::new("mpop");
    mpop.env("HOME", site.dir()).args([
        "--file=/dev/null",
        "--tls=off",
        "--auth=user",
        "--keep=off",
        "--quiet",
    ]);
    mpop.arg(format!("--host={}", site.pop3().ip()))
        .arg(format!("--port={}", site.pop3().port()));
    mpop.arg(format!("--user={TO}"))
        .arg(format!("--passwordeval=echo {}", site.bob().password));
    run(
        mpop.arg(format!("--delivery=mbox,{}", mailbox.display())),
        "",
    );
    has_letter(&fs::read_to_string(mailbox).unwrap(), "mpop");
}

#[test]
fn fetchmail_fetches() {
    let site = site_with_letter("fetchmail");
    let mailbox = site.dir().join("fetchmail-mailbox");
    let settings = format!(
        "poll {} service {} protocol POP3 user \"{TO}\" password \"{}\" sslproto \"\" mda \"/bin/cat >> {}\"\n",
        site.pop3().ip(),
        site.pop3().port(),
        site.bob().password,
        mailbox.display()
    );
    let settings = file(&site, "fetchmailrc", &settings);
    let mut fetchmail = Command::new("fetchmail");
    fetchmail
        .env("HOME", site.dir())
        .env("FETCHMAILHOME", site.dir())
        .arg("-f")
        .arg(settings);
    run(&mut fetchmail, "");
    has_letter(&fs::read_to_string(mailbox).unwrap(), "fetchmail");
}

#[test]
fn python_sends_and_fetches() {
    const SCRIPT: &str = r#"
import poplib, smtplib, sys
smtp_port, pop3_port, user, password = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4]
letter = sys.stdin.buffer.read().replace(b"\n", b"\r\n")
with smtplib.SMTP("127.0.0.1", smtp_port, timeout=60) as smtp:
    smtp.ehlo()
    assert smtp.has_extn("8bitmime") and smtp.has_extn("size")
    refused = smtp.sendmail("alice@posthouse.test", [user, "nobody-there@posthouse.test"], letter, ["BODY=8BITMIME"])
    assert refused["nobody-there@posthouse.test"][0] == 550, refused
deadline = __import__("time").monotonic() + 60
while True:
    pop3 = poplib.POP3("127.0.0.1", pop3_port, timeout=60)
    pop3.user(user); pop3.pass_(password)
    if pop3.stat()[0] == 1: break
    pop3.quit()
    assert __import__("time").monotonic() < deadline, "the letter did not come"
status, lines, octets = pop3.retr(1)
fetched = b"".join(line + b"\r\n" for line in lines)
assert fetched.endswith(letter), fetched
assert len(fetched) == octets == pop3.stat()[1], (len(fetched), octets, pop3.stat())
assert pop3.uidl()[1][0].split()[0] == b"1"
pop3.dele(1); pop3.quit()
pop3 = poplib.POP3("127.0.0.1", pop3_port, timeout=60)
pop3.user(user); pop3.pass_(password)
assert pop3.stat() == (0, 0), pop3.stat()
pop3.quit()
"#;
    let site = Site::running().unwrap();
    let mut python = Command::new("python3");
    python
        .args(["-c", SCRIPT])
        .arg(site.smtp().port().to_string())
        .arg(site.pop3().port().to_string());
    run(
        python.args([TO, site.bob().password.as_str()]),
        &letter("python"),
    );
}

#[test]
fn python_parses_our_reports() {
    // 67 is EX_NOUSER of sysexits.h: only the delivery itself can tell.
    const BROKEN: &str = r#"broken: "|/bin/sh -c 'exit 67'""#;
    const SCRIPT: &str = r#"
import email, email.policy, sys
report = email.message_from_bytes(sys.stdin.buffer.read(), policy=email.policy.default)
assert not report.defects, report.defects
assert report.get_content_type() == "multipart/report" and report.get_param("report-type") == "delivery-status"
assert report["Auto-Submitted"] == "auto-replied" and report["Return-Path"] == "<>"
human, status, returned = report.iter_parts()
assert human.get_content_type() == "text/plain" and "broken@posthouse.test" in human.get_content(), human.get_content()
message, recipient = status.get_payload()
assert message["Reporting-MTA"] == "dns; mail.posthouse.test", message.items()
assert message["Arrival-Date"] is not None
assert recipient["Final-Recipient"].startswith("rfc822;"), recipient.items()
assert recipient["Original-Recipient"].replace(" ", "") == "rfc822;kaputt@example.org", recipient.items()
assert recipient["Action"] == "failed" and recipient["Status"] == "5.1.1", recipient.items()
assert message["Original-Envelope-Id"] == "QQ314", message.items()
assert returned.get_content_type() == "text/rfc822-headers", returned.get_content_type()
assert "Subject: report" in returned.get_content(), returned.get_content()
"#;
    let site = Site::builder().alias(BROKEN).start().unwrap();
    let mut smtp = site.smtp_client().unwrap();
    smtp.command(&format!("MAIL FROM:<{FROM}> RET=HDRS ENVID=QQ314"), 250)
        .unwrap();
    smtp.command(
        "RCPT TO:<broken@posthouse.test> NOTIFY=FAILURE ORCPT=rfc822;kaputt@example.org",
        250,
    )
    .unwrap();
    smtp.command("DATA", 354).unwrap();
    smtp.send(b"Subject: report\r\n\r\nbody\r\n.\r\n").unwrap();
    smtp.expect(250).unwrap();
    let report = site.fetch(site.alice(), 1).unwrap().remove(0);
    let mut python = Command::new("python3");
    run(
        python.args(["-c", SCRIPT]),
        &String::from_utf8(report).unwrap(),
    );
}

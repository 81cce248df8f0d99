"""A certificate authority for one test session, and certificates signed by it."""
import os
import subprocess


def _openssl(*arguments):
    subprocess.run(["openssl", *arguments], check=True, stdout=subprocess.DEVNULL,
                   stderr=subprocess.PIPE, timeout=60)


class Authority:
    """Makes PEM files in directory. EC keys: they cost a tenth of RSA's time."""

    def __init__(self, directory, name="Test CA"):
        self.directory = directory
        os.makedirs(directory, exist_ok=True)
        os.chmod(directory, 0o755)
        self.certificate = os.path.join(directory, "ca.pem")
        self.key = os.path.join(directory, "ca.key")
        self._new_key(self.key)
        _openssl("req", "-x509", "-new", "-key", self.key, "-days", "30", "-subj", f"/CN={name}",
                 "-addext", "basicConstraints=critical,CA:TRUE",
                 "-addext", "keyUsage=critical,keyCertSign,cRLSign", "-out", self.certificate)

    @staticmethod
    def _new_key(path):
        _openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", path)

    def issue(self, name, addresses=("IP:127.0.0.1",), days=30, label=None):
        """(certificate file, key file) for a DNS name, also good for the addresses."""
        stem = os.path.join(self.directory, label or name)
        key, request, certificate, extension = (
            stem + end for end in (".key", ".csr", ".pem", ".ext"))
        self._new_key(key)
        _openssl("req", "-new", "-key", key, "-subj", f"/CN={name}", "-out", request)
        with open(extension, "w") as out:
            out.write("subjectAltName=" + ",".join([f"DNS:{name}", *addresses]) + "\n")
        _openssl("x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey", self.key,
                 "-CAcreateserial", "-days", str(days), "-extfile", extension,
                 "-out", certificate)
        return certificate, key

    def revocation_list(self, until=None):
        """PEM of a list that revokes nothing; until (YYYYMMDDHHMMSSZ) is 30 days away."""
        stem = os.path.join(self.directory, "crl")
        with open(stem + ".cnf", "w") as out:
            out.write(f"[ca]\ndefault_ca=d\n[d]\ndatabase={stem}.index\ndefault_md=sha256\n")
        open(stem + ".index", "w").close()
        validity = (["-crl_lastupdate", "20260101000000Z", "-crl_nextupdate", until] if until
                    else ["-crldays", "30"])
        _openssl("ca", "-config", stem + ".cnf", "-gencrl", "-keyfile", self.key,
                 "-cert", self.certificate, *validity, "-out", stem + ".pem")
        with open(stem + ".pem") as made:
            return made.read()

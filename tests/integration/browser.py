"""Chromium without a window, told what to do over the WebDriver protocol."""
import json
import os
import shutil
import subprocess
import urllib.request

from ports import free_port
from waiting import wait_until

DRIVER, CHROMIUM = "chromedriver", "chromium"


def is_installed():
    return bool(shutil.which(DRIVER) and shutil.which(CHROMIUM))


class Browser:
    """Files that it downloads go to directory/downloads."""

    def __init__(self, directory):
        self.downloads = os.path.join(directory, "downloads")
        os.makedirs(self.downloads)
        home = os.path.join(directory, "home")
        os.makedirs(home)
        self.port = free_port()
        self.log = open(os.path.join(directory, "driver.log"), "wb")
        self.driver = subprocess.Popen(
            [DRIVER, f"--port={self.port}", "--allowed-ips=127.0.0.1"], stdin=subprocess.DEVNULL,
            stdout=self.log, stderr=self.log,
            # without a locale of UTF-8 a file can have no name beyond ASCII
            env={"PATH": os.environ["PATH"], "HOME": home, "LC_ALL": "C.UTF-8"})
        self.session = None
        wait_until(self._is_ready, "chromedriver")
        self.session = self._call("POST", "/session", {"capabilities": {"alwaysMatch": {
            "acceptInsecureCerts": True, "pageLoadStrategy": "none",
            "goog:chromeOptions": {
                "binary": shutil.which(CHROMIUM),
                "args": ["--headless=new", "--no-sandbox", "--disable-gpu", "--no-proxy-server",
                         "--disable-dev-shm-usage", "--disable-background-networking",
                         # pages here ask other origins for ranges
                         "--disable-web-security",
                         f"--user-data-dir={os.path.join(directory, 'profile')}"]}}}})["sessionId"]
        self._command("/goog/cdp/execute", {"cmd": "Browser.setDownloadBehavior", "params": {
            "behavior": "allow", "downloadPath": self.downloads}})

    def _is_ready(self):
        assert self.driver.poll() is None, "chromedriver ended"
        try:
            return self._call("GET", "/status")["ready"]
        except OSError:
            return False

    def _call(self, method, path, body=None):
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}", method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"})
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=120) as answer:
            return json.load(answer)["value"]

    def _command(self, path, body=None, method="POST"):
        return self._call(method, f"/session/{self.session}{path}", body)

    def open(self, url):
        self._command("/url", {"url": url})

    def run(self, script, *arguments):
        """What the page's script hands to its last argument, a function."""
        return self._command("/execute/async", {"script": script, "args": list(arguments)})

    def title(self):
        return self._command("/title", method="GET")

    def downloaded(self):
        """{name: content} of what is there whole: Chromium reserves the name by an empty file."""
        found = {}
        for name in os.listdir(self.downloads):
            if name.endswith(".crdownload"):
                return {}
            if not name.startswith("."):
                with open(os.path.join(self.downloads, name), "rb") as file:
                    found[name] = file.read()
        return {name: content for name, content in found.items() if content}

    def download(self, url, name):
        """Opens url; the content once a whole file of that name is there."""
        self.open(url)
        wait_until(self.downloaded, f"{name} downloaded")
        found = self.downloaded()
        assert list(found) == [name]
        os.remove(os.path.join(self.downloads, name))
        return found[name]

    def stop(self):
        try:
            if self.session:
                self._command("", method="DELETE")
        finally:
            self.driver.terminate()
            try:
                self.driver.wait(60)
            except subprocess.TimeoutExpired:
                self.driver.kill()
                self.driver.wait()
            self.log.close()

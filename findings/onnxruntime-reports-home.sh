#!/usr/bin/env bash
# Linux wheels of ONNX Runtime keep a device id and a queue of reports in the user's cache folder, unasked.
# Seen with onnxruntime 1.32.0 on 2026-11-28. Some seconds later it looks up a collector's host, which is not shown here.
# Expected: an inference library that writes nothing but what it was asked for.
# Comes: files below XDG_CACHE_HOME after the first import; none with ORT_DISABLE_TELEMETRY=1 set before it. Variables of CI
# services (CI, GITHUB_ACTIONS …) silence it too, so that no test on a CI service ever sees it.
# Here: runtime/tdnet_runtime/backends/no_telemetry.py sets the variable before the first import, unless the user did.
. "$(dirname "$0")/common.bash"
with onnxruntime==1.32.0 numpy==2.4.6
for setting in unset 1; do
  mkdir -p "home-$setting"
  env -i PATH="$PATH" HOME="$FOLDER/home-$setting" XDG_CACHE_HOME="$FOLDER/home-$setting/cache" \
    $([ "$setting" = 1 ] && echo ORT_DISABLE_TELEMETRY=1) "$PYTHON" -c 'import onnxruntime, time; time.sleep(2)'
  echo "ORT_DISABLE_TELEMETRY $setting: $(find "home-$setting" -type f -name deviceid | wc -l) device id" >>out
done
seen <<'TEXT'
ORT_DISABLE_TELEMETRY unset: 1 device id
ORT_DISABLE_TELEMETRY 1: 0 device id
TEXT

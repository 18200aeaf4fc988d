#!/usr/bin/env bash
# Makes the virtual environment of a real Triton server, and prints the setting by which test_server.py finds it:
#   eval "$(tests/triton_server/make_venv.sh FOLDER)"
# The server is Triton 2.51 out of nvidia-pytriton 0.7.0: x86-64, its Python backend alone, no GPU needed. It takes Python 3.10
# to 3.12 and NumPy below 2. 500 MB; PYTHON= names the interpreter. The runtime in it is this working tree's.
set -euo pipefail
folder=${1:?usage: $0 FOLDER}
root=$(realpath "$(dirname "$0")/../..")
"${PYTHON:-python3}" -m venv "$folder"
folder=$(realpath "$folder")
"$folder/bin/python" -m pip install --disable-pip-version-check --quiet \
  nvidia-pytriton==0.7.0 'numpy<2' onnxruntime msgspec opencv-python-headless 'tritonclient[http]' >&2
read -r version packages libpython < <("$folder/bin/python" -c "
import sys, sysconfig
print(f'{sys.version_info[0]}.{sys.version_info[1]}', sysconfig.get_path('purelib'), sysconfig.get_config_var('LIBDIR'))")
echo "$root/runtime" >"$packages/tdnet_runtime.pth" # the backend's process does not ask PYTHONPATH
cp -r "$packages/pytriton/tritonserver" "$folder/"
cp "$folder/tritonserver/python_backend_stubs/$version/triton_python_backend_stub" "$folder/tritonserver/backends/python/"
cat >"$folder/tritonserver.sh" <<END
#!/bin/sh
# The backend finds its Python as the first one in PATH.
PATH="$folder/bin:\$PATH" LD_LIBRARY_PATH="$packages/nvidia_pytriton.libs:$libpython" exec "$folder/tritonserver/bin/tritonserver" \\
  --backend-directory="$folder/tritonserver/backends" "\$@"
END
chmod +x "$folder/tritonserver.sh"
echo "export TDNET_TRITON_SERVER=$folder/tritonserver.sh"

#!/bin/bash
# A real one-node SLURM with accounting (slurmdbd on MariaDB) on loopback, for Debian as root: no systemd, no cgroups, simulated GPUs.
#   launcher/tests/slurm.sh up|down      state, logs and configuration in $SLURM_DIR (default: /tmp/slurm-one-node)
# Then, in any shell:  export SLURM_CONF=$SLURM_DIR/slurm.conf
set -euo pipefail
D=${SLURM_DIR:-/tmp/slurm-one-node}; CPUS=${SLURM_CPUS:-4}; MEM=${SLURM_MEM:-8000}; GPUS=${SLURM_GPUS:-2}
export SLURM_CONF=$D/slurm.conf
end() { [ -s "$1" ] && kill "$(cat "$1")" 2>/dev/null || true; }
if [ "${1:-up}" = down ]; then
  scancel -u "$(id -un)" 2>/dev/null || true
  for p in slurmd slurmctld slurmdbd munged mariadbd; do end "$D/$p.pid"; done
  exit 0
fi
for p in slurmctld slurmd slurmdbd munged mariadbd; do command -v $p >/dev/null || missing=1; done
if [ "${missing:-}" ]; then
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends slurmctld slurmd slurmdbd slurm-client munge mariadb-server >/dev/null
fi
if command -v sinfo >/dev/null && timeout 20 sinfo -h >/dev/null 2>&1; then sinfo; exit 0; fi # already up
H=$(hostname -s)
mkdir -p "$D"/{state,spool,log,munge,db}; chmod 755 "$D" "$D/munge"
[ -s "$D/munge/key" ] || (umask 077; dd if=/dev/urandom of="$D/munge/key" bs=1024 count=1 status=none)
if [ ! -d "$D/db/mysql" ]; then mariadb-install-db --user=root --datadir="$D/db" --auth-root-authentication-method=socket >"$D/log/db-install.log" 2>&1; fi
cat > "$D/slurmdbd.conf" <<C
AuthType=auth/munge
DbdHost=localhost
DbdPort=16819
SlurmUser=root
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort=13306
StorageUser=slurm
StoragePass=slurm
StorageLoc=slurm_acct
LogFile=$D/log/slurmdbd.log
PidFile=$D/slurmdbd.pid
C
chmod 600 "$D/slurmdbd.conf"
cat > "$SLURM_CONF" <<C
ClusterName=onenode
SlurmctldHost=$H(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=cred_expire=10
CryptoType=crypto/munge
SlurmctldPort=16817
SlurmdPort=16818
StateSaveLocation=$D/state
SlurmdSpoolDir=$D/spool
SlurmctldPidFile=$D/slurmctld.pid
SlurmdPidFile=$D/slurmd.pid
SlurmctldLogFile=$D/log/slurmctld.log
SlurmdLogFile=$D/log/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
DefMemPerCPU=500
GresTypes=gpu
SwitchType=switch/none
MpiDefault=none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=localhost
AccountingStoragePort=16819
ReturnToService=2
SlurmdParameters=config_overrides
SchedulerParameters=batch_sched_delay=0,bf_interval=2,sched_interval=2,sched_min_interval=0
MinJobAge=3600
KillWait=5
InactiveLimit=0
NodeName=$H NodeAddr=127.0.0.1 CPUs=$CPUS RealMemory=$MEM Gres=gpu:$GPUS State=UNKNOWN
PartitionName=main Nodes=$H Default=YES MaxTime=INFINITE State=UP
C
for g in $(seq 0 $((GPUS-1))); do [ -e "$D/gpu$g" ] || mknod "$D/gpu$g" c 1 3; done  # the same device as /dev/null
echo "NodeName=$H AutoDetect=off Name=gpu File=$D/gpu[0-$((GPUS-1))]" > "$D/gres.conf"
mkdir -p /run/munge; chmod 755 /run/munge
munged --force --key-file="$D/munge/key" --num-threads=4 --pid-file="$D/munged.pid" --log-file="$D/log/munged.log" --seed-file="$D/munge/seed"
setsid mariadbd --no-defaults --user=root --datadir="$D/db" --socket="$D/db.sock" --bind-address=127.0.0.1 --port=13306 --pid-file="$D/mariadbd.pid" \
  --innodb-buffer-pool-size=64M --innodb-lock-wait-timeout=900 >"$D/log/mariadbd.log" 2>&1 </dev/null &
for i in $(seq 100); do mariadb-admin --no-defaults --socket="$D/db.sock" ping >/dev/null 2>&1 && break; sleep 0.1; done
mariadb --no-defaults --socket="$D/db.sock" -e "create user if not exists slurm@'%' identified by 'slurm'; create user if not exists slurm@localhost identified by 'slurm'; grant all on slurm_acct.* to slurm@'%'; grant all on slurm_acct.* to slurm@localhost;"
SLURM_CONF=$D/slurmdbd.conf slurmdbd
for i in $(seq 25); do timeout 5 sacctmgr -n show cluster >/dev/null 2>&1 && break; sleep 0.2; done
timeout 20 sacctmgr -i add cluster onenode >/dev/null 2>&1 || true
timeout 20 sacctmgr -i add account main cluster=onenode >/dev/null 2>&1 || true
timeout 20 sacctmgr -i add user "$(id -un)" account=main >/dev/null 2>&1 || true
slurmctld -f "$SLURM_CONF"
slurmd -f "$SLURM_CONF" -N "$H"
for i in $(seq 50); do
  case "$(sinfo -h -o %T 2>/dev/null || true)" in idle) break ;; drain*|down*) scontrol update nodename="$H" state=resume ;; esac; sleep 0.2
done
sinfo

# Completion of `jitid` for bash; generated from the command tree by `python -m tests.generate`.
# Verbs, options and choices stand in the table; only what comes out of the ledger asks jitid itself.

# Sets what can follow a verb: `verbs` are the second words of a group, the others are lists of
#   options    NAME|NAME=SOURCE, without `=` a flag; with a `+` after the names it may be repeated
#   arguments  SOURCE, with a `+` any number of them
# A SOURCE is `:WORD,WORD`, or any of ids tasks agents records delegators known keys approvals access adopted leaks
# kinds files folders command setting, joined by `/`.
__jitid_table() {
    local everywhere="--config=files --profile=nothing --ledger=folders --remote=folders --credential-file=files --credential-fd=nothing --format=:table,tsv,json,jsonl,csv --json --field+=nothing --timeout=nothing --no-pager --no-color --quiet|-q --verbose|-v --debug --no-input --accept-clock --help|-h"
    verbs='' options=$everywhere arguments=''
    case $1 in
    '')
        verbs='run issue renew verify list inspect status whoami sweep report doctor trace scan leak revoke retire setup login policy agent delegator task approve authorize adopt serve access keys publish ledger audit config helper mcp federate schedule example completion help version'
        options="--version|-V $everywhere"
        ;;
    'leak')
        verbs='add close list show'
        ;;
    'schedule')
        verbs='cron systemd'
        ;;
    'policy')
        verbs='check diff init show test'
        ;;
    'agent')
        verbs='advise change list register resume review show suspend unregister'
        ;;
    'delegator')
        verbs='add change disable enable import list show'
        ;;
    'task')
        verbs='give share'
        ;;
    'approve')
        verbs='deny grant list show'
        ;;
    'adopt')
        verbs='add change end list probe show suggest'
        ;;
    'access')
        verbs='bootstrap grant list revoke rotate'
        ;;
    'keys')
        verbs='algorithm ca export list revoke rotate'
        ;;
    'keys export')
        verbs='bundle crl jwks krl ssh'
        ;;
    'keys ca')
        verbs='import request'
        ;;
    'ledger')
        verbs='backup check copy issuer prune restore vacuum'
        ;;
    'audit')
        verbs='export head log verify'
        ;;
    'config')
        verbs='get path set show unset'
        ;;
    'helper')
        verbs='aws docker git headers kube pgpass session ssh token'
        ;;
    'helper session')
        verbs='start stop'
        ;;
    'completion')
        verbs='install show'
        ;;
    'run')
        options="--task|-t=tasks --delegator|-d=delegators --delegator-token-file=files --agent|-a=agents --kind|-k=kinds --scope|-s+=nothing --audience+=nothing --may-audience+=nothing --may-act+=nothing --may-kind+=:jwt,opaque,jwt-svid,x509-svid,ssh-cert,aws-sts,postgres-role,openbao-lease,exec,adopted --ttl=nothing --purpose=nothing --sensitivity=:low,moderate,high,critical --deadline=nothing --parent-file=files --detail+=nothing --allow-narrower --env=nothing --file=folders --on-exit=:revoke,keep --grace=nothing --wait=nothing --secret+=nothing --for+=:anthropic,openai,google,azure,aws,vault $everywhere"
        arguments='command+'
        ;;
    'issue')
        options="--task|-t=tasks --delegator|-d=delegators --delegator-token-file=files --agent|-a=agents --kind|-k=kinds --scope|-s+=nothing --audience+=nothing --may-audience+=nothing --may-act+=nothing --may-kind+=:jwt,opaque,jwt-svid,x509-svid,ssh-cert,aws-sts,postgres-role,openbao-lease,exec,adopted --ttl=nothing --purpose=nothing --sensitivity=:low,moderate,high,critical --deadline=nothing --parent-file=files --detail+=nothing --allow-narrower --out|-o=files --count=nothing --from-file=files --yes|-y --dry-run|-n --as-of=nothing --wait=nothing --public-key=files --field+=:token,id,jti,task,agent,delegator,delegator_proof,parent,depth,kind,sensitivity,scopes,audiences,issued_at,expires_at,delegator_state,template,secret,may_audience,may_act $everywhere"
        ;;
    'renew')
        options="--token-file=files --ttl=nothing --allow-narrower --out|-o=files --field+=:token,id,jti,task,agent,delegator,delegator_proof,parent,depth,kind,sensitivity,scopes,audiences,issued_at,expires_at,delegator_state,template,secret,may_audience,may_act $everywhere"
        ;;
    'verify')
        options="--audience+=nothing --status-list=files --jwks=files --published=folders --issuer=nothing $everywhere"
        arguments='files'
        ;;
    'list')
        options="--task|-t=tasks --delegator|-d=delegators --agent|-a=agents --kind|-k=:jwt,opaque,jwt-svid,x509-svid,ssh-cert,aws-sts,postgres-role,openbao-lease,exec,adopted --state=:pending,active,expired,revoked,retired,superseded,open,overdue,ended --live --unsettled --sensitivity=:low,moderate,high,critical --proof=:asserted,os-user,credential,oidc,parent --scope|-s=nothing --audience=nothing --purpose=nothing --id=ids --parent=ids --depth=nothing --signed-by=keys --since=nothing --until=nothing --expires-before=nothing --expires-after=nothing --tree --as=:mermaid,dot --by=:task --process=:alive,gone,unknown --sort=:issued_at,expires_at,task,agent,delegator,depth,id,-issued_at,-expires_at,-task,-agent,-delegator,-depth,-id --limit|-l=nothing --after=ids --format=:table,tsv,json,jsonl,csv,mermaid,dot --field+=:id,jti,task,agent,delegator,delegated_by,delegator_proof,kind,state,sensitivity,scopes,audiences,purpose,depth,parent,issued_at,expires_at,ended_at,signed_by,process,delegator_state,delegated,left $everywhere"
        arguments='ids+'
        ;;
    'inspect')
        options="--task|-t=tasks --why --event=nothing --field+=:active,reason,state,sub,act,chain,scope,aud,iss,exp,iat,nbf,jti,client_id,token_type,txn,delegator_proof,delegator_state,authorization_details,id,parent,depth,kind,sensitivity,purpose,task,descendants,live_descendants,last_used_at,scopes_used,decision,ended,kid,process,template,at_target,revocation_list,delegated,may_kind,token_use,may_audience,may_act,subject,exchanged_until,session $everywhere"
        arguments='ids/files'
        ;;
    'status')
        options="--soon=nothing --field+=:live,expiring,next_expiry,open_tasks,overdue_tasks,leaked,standing,unsettled,approvals,swept_at,findings,ledger,issuer,next,login,login_issuer,login_expires_at $everywhere"
        ;;
    'whoami')
        options="--field+=:caller,delegator,proof,roles,agent,task,expires_at,ledger,issuer,confinement,reason,login,login_issuer,login_expires_at,state $everywhere"
        ;;
    'sweep')
        options="--rule+=:orphaned-task,orphaned-parent,orphaned-process,orphaned-delegator,pending,leaked-live,renewed-twice,revoked-live,revocation-stuck,orphaned-untracked,offline-valid,exchanged-valid,expired-unretired,standing,duplicate,sprawl,unproved-delegator,ownerless,review-overdue,standing-access,over-privileged,policy-drift,never-used,over-scoped,orphaned-ledger-only,key-overdue,canary,audit-gap,clock --skip+=:orphaned-task,orphaned-parent,orphaned-process,orphaned-delegator,pending,leaked-live,renewed-twice,revoked-live,revocation-stuck,orphaned-untracked,offline-valid,exchanged-valid,expired-unretired,standing,duplicate,sprawl,unproved-delegator,ownerless,review-overdue,standing-access,over-privileged,policy-drift,never-used,over-scoped,orphaned-ledger-only,key-overdue,canary,audit-gap,clock --target+=nothing --target-timeout=nothing --fail-on=:info,low,medium,high,critical --since=nothing --finding=nothing --baseline=files --update-baseline --fix --dry-run|-n --max=nothing --yes|-y --out|-o=files --head-out=files --canary --list-rules --format=:table,tsv,json,jsonl,csv,sarif,prometheus,html --field+=:state,severity,rule,subject,since,credentials,summary,remedy,event,ended_at,ended_credentials,sweep,proof,offline_until,fingerprint,evidence $everywhere"
        ;;
    'report')
        options="--at=nothing --days=nothing --out|-o=files --format=:table,tsv,json,jsonl,csv,html,prometheus --field+=:issued,identities,live,live_identities,tasks,tasks_open,tasks_overdue,tasks_ended,delegators,agents,agents_registered $everywhere"
        ;;
    'doctor')
        options="--field+=:check,status,detail,repair $everywhere"
        ;;
    'trace')
        options="--revoke --reason=nothing --dry-run|-n --max=nothing --yes|-y --field+=:match,proof,id,jti,kind,task,task_state,purpose,agent,delegator,chain,state,active,reason,issued_at,age,expires_at,ended_at,ended_by,ended_reason,descendants,live_descendants,audiences,honoured_by,honoured_until,occurrences,revoke $everywhere"
        arguments='ids/files'
        ;;
    'scan')
        options="--git --commits+=nothing --unreachable --staged --install-hook --agents --scrub --only+=:opaque,jwt,certificate,private-key,adopted --no-ignore --one-file-system --fail-on=:info,low,medium,high,critical --report --source=nothing --revoke --reason=nothing --dry-run|-n --max=nothing --yes|-y --out|-o=files --rules=:gitleaks,kingfisher,betterleaks --authority=nothing --format=:table,tsv,json,jsonl,csv,sarif,prometheus,html --field+=:state,severity,rule,subject,summary,remedy,path,line,commit,inside,match,proof,jti,id,kind,agent,task,delegator,chain,life,fingerprint $everywhere"
        arguments='files+'
        ;;
    'leak add')
        options="--source=nothing --at=nothing --revoke --reason=nothing --dry-run|-n --max=nothing --yes|-y --from=files --report-format=:gitleaks,kingfisher,betterleaks,trufflehog,sarif --field+=:leak,id,jti,task,agent,delegator,kind,source,reported_at,added_at,state,valid,dead_at,exposure,offline_until,proved_at,closed_at,successors,delegated,lives_until,places,place,refused_since,accepted_until,exposure_verifiers $everywhere"
        arguments='files'
        ;;
    'leak close')
        options="--reason=nothing --yes|-y --field+=:closed,already,valid,living,event $everywhere"
        arguments='leaks+'
        ;;
    'leak list')
        options="--open --valid --source=nothing --task|-t=tasks --since=nothing --until=nothing --limit|-l=nothing --field+=:leak,id,jti,task,agent,delegator,kind,source,reported_at,added_at,state,valid,dead_at,exposure,offline_until,proved_at,closed_at,successors,delegated,lives_until,places,place,refused_since,accepted_until,exposure_verifiers $everywhere"
        ;;
    'leak show')
        options="--timeline --format=:table,tsv,json,jsonl,csv,markdown --field+=:leak,id,jti,task,agent,delegator,kind,source,reported_at,added_at,state,valid,dead_at,exposure,offline_until,proved_at,closed_at,successors,delegated,lives_until,places,place,refused_since,accepted_until,exposure_verifiers,reason,purpose,chain,issued_at,expires_at,added_by,event,ended_by,ended_reason,ended_event,closed_by,closed_reason,closed_event,revoke,sightings $everywhere"
        arguments='leaks+'
        ;;
    'revoke')
        options="--task|-t+=tasks --delegator|-d+=delegators --agent|-a+=agents --tree+=ids --token-file+=files --ids-file=files --reason=nothing --dry-run|-n --max=nothing --yes|-y --wait=nothing --field+=:ended,credentials,identities,matched,tasks,delegators,offline_until,event,dry_run,confirmed,unconfirmed,refused_since,accepted_until,exchanged_until $everywhere"
        arguments='ids+'
        ;;
    'retire')
        options="--reason=nothing --dry-run|-n --wait=nothing --field+=:ended,credentials,identities,matched,tasks,delegators,offline_until,event,dry_run,confirmed,unconfirmed,refused_since,accepted_until,exchanged_until $everywhere"
        arguments='tasks'
        ;;
    'setup')
        options="--dry-run|-n --undo --check --yes|-y --gateway=nothing --audience=nothing --mcp+=nothing --tools --host+=nothing --template=nothing --name=nothing --project --task|-t=tasks --delegator|-d=delegators --agent|-a=agents --scope|-s+=nothing --ttl=nothing --parent-file=files --field+=:client,state,installed,path $everywhere"
        arguments=':claude-code,codex,opencode,gemini,copilot,cursor,vscode,mcp,git,gh,aws,kube'
        ;;
    'login')
        options="--issuer=nothing --device --no-browser --fresh --out --field+=:delegator,issuer,authenticated_at,expires_at,access,state $everywhere"
        ;;
    'policy check')
        options="--field+=:file,line,column,severity,rule,message $everywhere"
        arguments='files+'
        ;;
    'policy diff')
        options="--since=nothing --limit|-l=nothing --exit-code --field+=:change,count,recorded,old,new,old_rules,new_rules,old_granted,new_granted,old_lifetime,new_lifetime,needs,agent,delegator,proof,task,purpose,sensitivity,kind,template,depth,scopes,audiences,ttl,at,reason,event,task_owner $everywhere"
        arguments='files files'
        ;;
    'policy init')
        options="--with-default $everywhere"
        arguments='folders'
        ;;
    'policy show')
        options="--digest=nothing --default --text --field+=:rule,effect,actions,max_ttl,approval,reads,file,line,sha256,text $everywhere"
        arguments='nothing'
        ;;
    'policy test')
        options="--policy=files --require-coverage --field+=:file,line,case,result,decision,rules,granted,lifetime,needs,expected,reason $everywhere"
        arguments='files+'
        ;;
    'agent advise')
        options="--days=nothing --policy --task|-t=tasks --limit|-l=nothing --field+=:agent,advice,why,command,state,identities,live,tasks,days,interval,longest_interval,first_issued_at,last_issued_at,run_time_p50,run_time_p95,run_time_longest,concurrency,delegators,delegator,delegated,scopes,scopes_from,audiences,kinds,max_ttl $everywhere"
        arguments='agents+'
        ;;
    'agent change')
        options="--owner=known --purpose=nothing --scope|-s+=nothing --audience+=nothing --kind|-k+=:jwt,opaque,jwt-svid,x509-svid,ssh-cert,aws-sts,postgres-role,openbao-lease,exec --max-ttl=nothing --concurrency=nothing --may-use+=delegators --clear+=:scope,audience,concurrency,may-use --field+=:agent,state,owner,live,review_at,event $everywhere"
        arguments='records'
        ;;
    'agent list')
        options="--owner=known --state=:registered,overdue,suspended,unregistered --limit|-l=nothing --after=records --field+=:agent,state,owner,owner_state,purpose,scopes,beyond,audiences,kinds,max_ttl,concurrency,live,last_issued_at,review_at,registered_at,reviewed_at,suspended_at,suspended_as,unregistered_at,users $everywhere"
        ;;
    'agent register')
        options="--owner=known --purpose=nothing --scope|-s+=nothing --audience+=nothing --kind|-k+=:jwt,opaque,jwt-svid,x509-svid,ssh-cert,aws-sts,postgres-role,openbao-lease,exec --max-ttl=nothing --concurrency=nothing --may-use+=delegators --review=nothing --max=nothing --yes|-y --field+=:agent,state,owner,live,review_at,event $everywhere"
        arguments='agents'
        ;;
    'agent resume')
        options="--field+=:agent,state,owner,live,review_at,event $everywhere"
        arguments='records'
        ;;
    'agent review')
        options="--next=nothing --field+=:agent,state,owner,owner_state,purpose,scopes,beyond,audiences,kinds,max_ttl,concurrency,live,last_issued_at,review_at,registered_at,reviewed_at,suspended_at,suspended_as,unregistered_at,users,event $everywhere"
        arguments='records'
        ;;
    'agent show')
        options="--field+=:agent,state,owner,owner_state,purpose,scopes,beyond,audiences,kinds,max_ttl,concurrency,live,last_issued_at,review_at,registered_at,reviewed_at,suspended_at,suspended_as,unregistered_at,users,issues $everywhere"
        arguments='records'
        ;;
    'agent suspend')
        options="--keep-live --reason=nothing --dry-run|-n --max=nothing --yes|-y --field+=:agent,state,kept,ended,credentials,identities,matched,tasks,delegators,offline_until,event,dry_run,confirmed,unconfirmed,refused_since,accepted_until $everywhere"
        arguments='records'
        ;;
    'agent unregister')
        options="--keep-live --reason=nothing --dry-run|-n --max=nothing --yes|-y --field+=:agent,state,kept,ended,credentials,identities,matched,tasks,delegators,offline_until,event,dry_run,confirmed,unconfirmed,refused_since,accepted_until $everywhere"
        arguments='records'
        ;;
    'delegator add')
        options="--entitlement+=nothing --no-entitlements --group+=nothing --manager=delegators --alias+=nothing --subject+=nothing --sensitivity=:low,moderate,high,critical --field+=:name,state,sensitivity,entitlements,groups,manager,aliases,external_id,imported,added_at,disabled_at,changed,live,event $everywhere"
        arguments='delegators'
        ;;
    'delegator change')
        options="--entitlement+=nothing --no-entitlements --group+=nothing --manager=delegators --alias+=nothing --subject+=nothing --policy-alone --remove-entitlement+=nothing --sensitivity=:low,moderate,high,critical --no-groups --remove-group+=nothing --no-manager --no-aliases --remove-alias+=nothing --field+=:name,state,sensitivity,entitlements,groups,manager,aliases,external_id,imported,added_at,disabled_at,changed,live,event $everywhere"
        arguments='known'
        ;;
    'delegator disable')
        options="--keep-live --reason=nothing --dry-run|-n --max=nothing --yes|-y --field+=:name,ended,credentials,identities,tasks,offline_until,kept_live,agents,others,requests,grants,access,event,dry_run $everywhere"
        arguments='known'
        ;;
    'delegator enable')
        options="--reason=nothing --field+=:name,suspended,event $everywhere"
        arguments='known'
        ;;
    'delegator import')
        options="--as=:csv,scim,jsonl --full --reason=nothing --dry-run|-n --max=nothing --yes|-y --field+=:people,added,changed,enabled,disabled,missing,staying,ended,credentials,identities,offline_until,agents,requests,grants,access,names,changes,event,dry_run $everywhere"
        arguments='files'
        ;;
    'delegator list')
        options="--group=nothing --disabled --enabled --after=known --limit|-l=nothing --field+=:name,state,sensitivity,entitlements,groups,manager,aliases,external_id,imported,added_at,disabled_at $everywhere"
        ;;
    'delegator show')
        options="--field+=:name,state,sensitivity,entitlements,groups,manager,aliases,external_id,imported,added_at,disabled_at,live,agents,suspended,requests,grants,access $everywhere"
        arguments='known'
        ;;
    'task give')
        options="--to=known --field+=:task,state,sensitivity,purpose,opened_at,deadline,ended_at,credentials,live,opener,shared $everywhere"
        arguments='tasks'
        ;;
    'task share')
        options="--with+=delegators --end --field+=:task,state,sensitivity,purpose,opened_at,deadline,ended_at,credentials,live,opener,shared $everywhere"
        arguments='tasks'
        ;;
    'approve deny')
        options="--group=nothing --reason=nothing --delegator-token-file=files --field+=:approval,state,groups,missing,approver,usable_until,event $everywhere"
        arguments='approvals'
        ;;
    'approve grant')
        options="--for=nothing --group=nothing --reason=nothing --delegator-token-file=files --field+=:approval,state,groups,missing,approver,usable_until,event $everywhere"
        arguments='approvals'
        ;;
    'approve list')
        options="--open --all --group=nothing --limit|-l=nothing --field+=:approval,state,task,agent,delegator,delegator_proof,kind,sensitivity,scopes,audiences,purpose,ttl,copies,depth,parent,groups,missing,asked_by,asked_at,expires_at,usable_until,left $everywhere"
        ;;
    'approve show')
        options="--field+=:approval,state,task,agent,delegator,delegator_proof,kind,sensitivity,scopes,audiences,purpose,ttl,copies,depth,parent,groups,missing,asked_by,asked_at,expires_at,usable_until,delegator_state,task_state,deadline,details,public_key,allow_narrower,process,task_sensitivity,chain,acting,words,reason,rules,policy,event,ended_at,ended_reason,ended_event,identity,grant $everywhere"
        arguments='approvals'
        ;;
    'authorize')
        options="--token-file=files --action=nothing --resource=nothing --context=nothing --audience+=nothing --batch --field+=:decision,reason,rules,scope,identity,jti,agent,delegator,chain,task,action,resource,at,event $everywhere"
        ;;
    'adopt add')
        options="--owner=known --place=nothing --purpose=nothing --agent|-a=agents --expires=nothing --target=nothing --reference=nothing --sensitivity=:low,moderate,high,critical --prefix=nothing --access-key-id=nothing --file=files --fingerprint=nothing --public-key=files --from-file=files --as=:csv,jsonl --dry-run|-n --field+=:name,id,jti,new,already,unverified,event,dry_run $everywhere"
        arguments='adopted'
        ;;
    'adopt change')
        options="--owner=known --place=nothing --purpose=nothing --agent|-a=agents --expires=nothing --target=nothing --reference=nothing --field+=:name,state,owner,owner_state,agent,place,purpose,sensitivity,target,reference,prefix,length,adopted_at,expires_at,ended_at,confirmed_at,proof,id,jti,fingerprint $everywhere"
        arguments='adopted+'
        ;;
    'adopt end')
        options="--proof=nothing --field+=:ended,already,revoked,event $everywhere"
        arguments='adopted+'
        ;;
    'adopt list')
        options="--owner=delegators --live --limit|-l=nothing --field+=:name,state,owner,owner_state,agent,place,purpose,sensitivity,target,reference,prefix,length,adopted_at,expires_at,ended_at,confirmed_at,proof,id,jti,fingerprint $everywhere"
        ;;
    'adopt probe')
        options="--field+=:name,life,seen $everywhere"
        arguments='adopted+'
        ;;
    'adopt show')
        options="--field+=:name,state,owner,owner_state,agent,place,purpose,sensitivity,target,reference,prefix,length,adopted_at,expires_at,ended_at,confirmed_at,proof,id,jti,fingerprint $everywhere"
        arguments='adopted'
        ;;
    'adopt suggest')
        options="--all --field+=:name,kind,why,configuration,policy,commands $everywhere"
        arguments='adopted+'
        ;;
    'serve')
        options="--bind=nothing --socket=files --socket-mode=nothing --tls-cert=files --tls-key=files --workers=nothing --public-url=nothing --log-format=:json,text,none --bootstrap=files --print-unit $everywhere"
        ;;
    'access bootstrap')
        arguments='files'
        ;;
    'access grant')
        options="--role+=:issuer,verifier,responder,sweeper,auditor,admin --audience+=nothing --all-audiences --ttl=nothing --key=files --out|-o=files --field+=:token,id,name,roles,by,issued_at,expires_at,predecessor,event,audiences $everywhere"
        arguments='delegators'
        ;;
    'access list')
        options="--all --name=delegators --limit|-l=nothing --field+=:id,name,roles,state,by,issued_at,expires_at,ends_at,ended_at,predecessor,event,ended_event,audiences,subject,proved_at,holder,left $everywhere"
        ;;
    'access revoke')
        options="--reason=nothing --field+=:ended,event $everywhere"
        arguments='access+'
        ;;
    'access rotate')
        options="--ttl=nothing --overlap=nothing --out|-o=files --field+=:token,id,name,roles,by,issued_at,expires_at,predecessor,event,audiences $everywhere"
        arguments='access'
        ;;
    'keys algorithm')
        options="--field+=:audience,algorithm,origin,reason $everywhere"
        arguments=':ES256,EdDSA,RS256'
        ;;
    'keys ca import')
        options="--field+=:kid,retired,expires_at,event $everywhere"
        arguments='files'
        ;;
    'keys ca request')
        options="--out|-o=files $everywhere"
        ;;
    'keys export bundle')
        options="--out|-o=files --format=:spiffe,jwt,pem,json $everywhere"
        ;;
    'keys export crl')
        options="--lifetime=nothing --out|-o=files --format=:pem,der $everywhere"
        ;;
    'keys export jwks')
        options="--algorithm=:ES256,EdDSA,RS256 --out|-o=files --format=:json $everywhere"
        ;;
    'keys export krl')
        options="--out|-o=files $everywhere"
        ;;
    'keys export ssh')
        options="--out|-o=files $everywhere"
        ;;
    'keys list')
        options="--field+=:kid,use,algorithm,state,created_at,retired_at,revoked_at,needed_until,machine $everywhere"
        ;;
    'keys revoke')
        options="--reason=nothing --dry-run|-n --max=nothing --yes|-y --field+=:kid,ended,identities,successor,offline_until,event $everywhere"
        arguments='keys'
        ;;
    'keys rotate')
        options="--algorithm=:ES256,EdDSA,RS256 --use=:jws,x509,ssh --transit=nothing --field+=:kid,use,algorithm,retired,event $everywhere"
        ;;
    'publish')
        options="--dry-run|-n --field+=:file,state,bytes $everywhere"
        arguments='folders'
        ;;
    'ledger backup')
        options="--keys --no-verify --field+=:backup,ledger,events,head,made_at,size,keys,verified $everywhere"
        arguments='files'
        ;;
    'ledger check')
        options="--field+=:check,status,detail,repair $everywhere"
        arguments='files'
        ;;
    'ledger copy')
        options="--to=folders --issuer=folders --keys --field+=:to,events,credentials,rows,head,event,resumed $everywhere"
        ;;
    'ledger issuer')
        options="--yes|-y --field+=:issuer,state,until $everywhere"
        arguments=':show,set folders'
        ;;
    'ledger prune')
        options="--rows-after=nothing --evidence-after=nothing --export=folders --dry-run|-n --field+=:before,identities,credentials,rows,event,left,dry_run,evidence_before,exported,kept,cut_event,file $everywhere"
        ;;
    'ledger restore')
        options="--replace --keep-live --expect-head=files --field+=:path,ledger,made_at,events,lost,kept,ended,tasks,access,revoked,retired,trusted,replaced,event $everywhere"
        arguments='files'
        ;;
    'ledger vacuum')
        options="--field+=:before,after,saved,log $everywhere"
        ;;
    'audit export')
        options="--out|-o=files --format=:jsonl,syslog $everywhere"
        ;;
    'audit head')
        options="--out|-o=files --field+=:head $everywhere"
        ;;
    'audit log')
        options="--operation=nothing --task|-t=tasks --agent|-a=agents --delegator|-d=delegators --by=nothing --rule=nothing --sweep=nothing --trace=nothing --since=nothing --until=nothing --event=nothing --at=nothing --within=nothing --action=nothing --resource=nothing --after=nothing --members --limit|-l=nothing --tail=nothing --follow|-f --field+=:seq,at,op,by,task,agent,delegator,count,rules,reason,hash,members,decision,chain,purpose,action,resource,scope,id,jti,event $everywhere"
        ;;
    'audit verify')
        options="--expect-head=files --file=files --field+=:events,members,head $everywhere"
        ;;
    'config get')
        options="--field+=:key,value,origin $everywhere"
        arguments=':ledger,remote,remote_ca,remote_credential_file,home,issuer,trust_domain,audience,task,agent,purpose,sensitivity,ttl,task_deadline,overlap,max,max_issue,sweep_standing_low,sweep_standing_moderate,sweep_standing_high,sweep_standing_critical,sweep_duplicates,sweep_identities,sweep_agents_per_person,sweep_pending,sweep_key_age,sweep_asserted,sweep_unused,policy,delegators,timezone,approval_lifetime,approval_patience,login_lifetime,recurs_tasks,recurs_days,detail_types,publish_url,publish_lifetime,retain_rows,retain_evidence,timeout,serve_bind,serve_socket,serve_socket_mode,serve_tls_cert,serve_tls_key,serve_public_url,serve_workers,serve_log,serve_connections,serve_requests,serve_threads,serve_rate,serve_body,serve_time,serve_long_time,serve_stop,serve_hung,format,color'
        ;;
    'config path')
        options="--field+=:path $everywhere"
        ;;
    'config set')
        arguments=':ledger,remote,remote_ca,remote_credential_file,home,issuer,trust_domain,audience,task,agent,purpose,sensitivity,ttl,task_deadline,overlap,max,max_issue,sweep_standing_low,sweep_standing_moderate,sweep_standing_high,sweep_standing_critical,sweep_duplicates,sweep_identities,sweep_agents_per_person,sweep_pending,sweep_key_age,sweep_asserted,sweep_unused,policy,delegators,timezone,approval_lifetime,approval_patience,login_lifetime,recurs_tasks,recurs_days,detail_types,publish_url,publish_lifetime,retain_rows,retain_evidence,timeout,serve_bind,serve_socket,serve_socket_mode,serve_tls_cert,serve_tls_key,serve_public_url,serve_workers,serve_log,serve_connections,serve_requests,serve_threads,serve_rate,serve_body,serve_time,serve_long_time,serve_stop,serve_hung,format,color setting'
        ;;
    'config show')
        options="--origin --field+=:key,value,origin $everywhere"
        ;;
    'config unset')
        arguments=':ledger,remote,remote_ca,remote_credential_file,home,issuer,trust_domain,audience,task,agent,purpose,sensitivity,ttl,task_deadline,overlap,max,max_issue,sweep_standing_low,sweep_standing_moderate,sweep_standing_high,sweep_standing_critical,sweep_duplicates,sweep_identities,sweep_agents_per_person,sweep_pending,sweep_key_age,sweep_asserted,sweep_unused,policy,delegators,timezone,approval_lifetime,approval_patience,login_lifetime,recurs_tasks,recurs_days,detail_types,publish_url,publish_lifetime,retain_rows,retain_evidence,timeout,serve_bind,serve_socket,serve_socket_mode,serve_tls_cert,serve_tls_key,serve_public_url,serve_workers,serve_log,serve_connections,serve_requests,serve_threads,serve_rate,serve_body,serve_time,serve_long_time,serve_stop,serve_hung,format,color'
        ;;
    'helper aws')
        options="--template=nothing --task|-t=tasks --delegator|-d=delegators --delegator-token-file=files --agent|-a=agents --scope|-s+=nothing --ttl=nothing --parent-file=files $everywhere"
        ;;
    'helper docker')
        options="--task|-t=tasks --delegator|-d=delegators --delegator-token-file=files --agent|-a=agents --kind|-k=kinds --scope|-s+=nothing --audience+=nothing --ttl=nothing --parent-file=files $everywhere"
        arguments=':get,store,erase,list'
        ;;
    'helper git')
        options="--task|-t=tasks --delegator|-d=delegators --delegator-token-file=files --agent|-a=agents --kind|-k=kinds --scope|-s+=nothing --audience+=nothing --ttl=nothing --parent-file=files $everywhere"
        arguments=':get,store,erase'
        ;;
    'helper headers')
        options="--audience+=nothing --may-audience+=nothing --task|-t=tasks --delegator|-d=delegators --delegator-token-file=files --agent|-a=agents --kind|-k=:jwt,opaque,jwt-svid,x509-svid,ssh-cert,aws-sts,postgres-role,openbao-lease,exec,adopted --scope|-s+=nothing --ttl=nothing --parent-file=files $everywhere"
        ;;
    'helper kube')
        options="--task|-t=tasks --delegator|-d=delegators --delegator-token-file=files --agent|-a=agents --kind|-k=kinds --scope|-s+=nothing --audience+=nothing --ttl=nothing --parent-file=files $everywhere"
        ;;
    'helper pgpass')
        options="--template=nothing --service=nothing --task|-t=tasks --delegator|-d=delegators --delegator-token-file=files --agent|-a=agents --scope|-s+=nothing --ttl=nothing --parent-file=files --out|-o=files $everywhere"
        ;;
    'helper session start')
        options="--client=:claude-code,codex,gemini,copilot,cursor,opencode --task|-t=tasks --delegator|-d=delegators --delegator-token-file=files --agent|-a=agents --scope|-s+=nothing --audience+=nothing --may-audience+=nothing --may-kind+=:jwt,opaque,jwt-svid,x509-svid,ssh-cert,aws-sts,postgres-role,openbao-lease,exec,adopted --ttl=nothing --parent-file=files $everywhere"
        ;;
    'helper session stop')
        options="--client=:claude-code,codex,gemini,copilot,cursor,opencode $everywhere"
        ;;
    'helper ssh')
        options="--task|-t=tasks --delegator|-d=delegators --delegator-token-file=files --agent|-a=agents --kind|-k=:jwt,opaque,jwt-svid,x509-svid,ssh-cert,aws-sts,postgres-role,openbao-lease,exec,adopted --scope|-s+=nothing --ttl=nothing --parent-file=files $everywhere"
        ;;
    'helper token')
        options="--audience+=nothing --may-audience+=nothing --task|-t=tasks --delegator|-d=delegators --delegator-token-file=files --agent|-a=agents --kind|-k=:jwt,opaque,jwt-svid,x509-svid,ssh-cert,aws-sts,postgres-role,openbao-lease,exec,adopted --scope|-s+=nothing --ttl=nothing --parent-file=files $everywhere"
        ;;
    'mcp')
        options="--token-file=files --most=nothing --rate=nothing --keep --format=:json $everywhere"
        ;;
    'federate')
        options="--check=files --delegator|-d=delegators --agent|-a=agents --field+=:name,vendor,issuer,audience,algorithm,jwks_uri,subject,template,claims,required,token_lifetime,exchanged_lifetime,missing,settings,variables,hidden,warnings,jwks $everywhere"
        arguments=':anthropic,openai,google,azure,aws,vault'
        ;;
    'schedule cron')
        options="--every=nothing $everywhere"
        arguments='nothing+'
        ;;
    'schedule systemd')
        options="--every=nothing --name=nothing --out|-o=folders $everywhere"
        arguments='nothing+'
        ;;
    'example')
        options="--field+=:example,about $everywhere"
        arguments=':verifier.py,asgi_guard.py,flask_guard.py,prometheus-rules.yml,slack.sh,webhook.sh,systemd.sh,github-action.yml,github-workflow.yml,gitlab-ci.yml,Containerfile'
        ;;
    'completion install')
        options="--shell+=:bash,zsh,fish --field+=:for,path,state $everywhere"
        ;;
    'completion show')
        arguments=':bash,zsh,fish'
        ;;
    'help')
        arguments='nothing+'
        ;;
    'version')
        options="--field+=:version,python $everywhere"
        ;;
    esac
}

# Sets `wanted` to the source of a setting's value.
__jitid_setting() {
    case $1 in
    ledger) wanted='folders' ;;
    remote_ca) wanted='folders' ;;
    remote_credential_file) wanted='folders' ;;
    home) wanted='folders' ;;
    sensitivity) wanted=':low,moderate,high,critical' ;;
    sweep_asserted) wanted=':low,moderate,high,critical' ;;
    policy) wanted='folders' ;;
    serve_socket) wanted='folders' ;;
    serve_tls_cert) wanted='folders' ;;
    serve_tls_key) wanted='folders' ;;
    format) wanted=':table,tsv,json,jsonl,csv' ;;
    color) wanted=':auto,always,never' ;;
    *) wanted='' ;;
    esac
}

# Sets `typed` to the words before the cursor, put together again where bash has cut them at `=`, `:` and `@`,
# `places` to where in COMP_WORDS each begins, and `cut` to what stands of the last one before the piece that
# readline will replace.
__jitid_read() {
    local line=${COMP_LINE:0:COMP_POINT} space piece glue='' last=-1 i
    typed=() places=() cut=''
    for ((i = 0; i <= COMP_CWORD; i++)); do
        piece=${COMP_WORDS[i]}
        space=${line%%[![:space:]]*}
        line=${line#"$space"}
        if ((i == COMP_CWORD)); then
            piece=$line
        fi
        line=${line#"$piece"}
        if ((i > 1)) && [[ -z $space ]] && { [[ -n $glue ]] || __jitid_consists "$piece" '=:@' ||
            { __jitid_redirects "$piece" && __jitid_consists "${typed[last]}" '0-9'; }; }; then
            cut=${typed[last]}
            typed[last]+=$piece
        else
            cut='' last=$((last + 1))
            typed[last]=$piece places[last]=$i
        fi
        glue=''
        if __jitid_consists "$piece" '=:@'; then
            glue=1
        fi
    done
    if [[ -n $glue ]]; then
        cut=${typed[last]}
    fi
    # Where names of hosts are completed behind an `@`, readline replaces the `@` too.
    if [[ $cut == *@ ]] && shopt -q hostcomplete; then
        cut=${cut%@}
    fi
}

__jitid_consists() {
    [[ -n $1 && -z ${1//[$2]/} ]]
}

__jitid_redirects() {
    [[ $1 == *[\<\>]* && -z ${1//[0-9<>&|]/} ]]
}

# Sets `wanted` to the source of an option's value, empty for a flag, and notes that the option was given.
__jitid_meet() {
    local entry names
    wanted=''
    for entry in $options; do
        names=${entry%%[=+]*}
        if [[ "|$names|" == *"|$1|"* ]]; then
            if [[ ${entry%%=*} != *+ ]]; then
                given+="${names//|/ } "
            fi
            if [[ $entry == *=* ]]; then
                wanted=${entry#*=}
            fi
            return 0
        fi
    done
}

__jitid_offer() {
    local each
    for each; do
        each=$head$each
        if [[ $each == "$current"* ]]; then
            COMPREPLY+=("${each#"$cut"}")
        fi
    done
}

__jitid_offer_options() {
    local entry names name
    for entry in $options; do
        names=${entry%%[=+]*}
        for name in ${names//|/ }; do
            if [[ $given != *" $name "* ]]; then
                __jitid_offer "$name"
                given+="$name "
            fi
        done
    done
}

# Offers what a source has for the value of `current` behind `head`.
__jitid_offer_from() {
    local value=${current#"$head"} list=${1#:} source found
    if [[ $1 == :* ]]; then
        __jitid_offer ${list//,/ }
        return 0
    fi
    for source in ${1//\// }; do
        case $source in
        ids | tasks | agents | records | delegators | known | keys | approvals | access | adopted | leaks | kinds)
            while IFS= read -r found; do
                if [[ -n $found ]]; then
                    __jitid_offer "${found%%$'\t'*}"
                fi
            done <<<"$(command jitid __complete "$source" "$value" "${before[@]}" 2>/dev/null </dev/null)"
            # The newest come first.
            compopt -o nosort 2>/dev/null
            ;;
        files)
            # Readline's own completion, which knows all about quoting, comes where there is nothing else.
            if ((${#COMPREPLY[@]})); then
                while IFS= read -r found; do
                    if [[ -n $found ]]; then
                        __jitid_offer "$found"
                    fi
                done <<<"$(compgen -f -- "$value")"
                compopt -o filenames 2>/dev/null
            else
                compopt -o default 2>/dev/null
            fi
            ;;
        folders)
            compopt -o dirnames 2>/dev/null
            ;;
        setting)
            __jitid_setting "$argument"
            if [[ -n $wanted ]]; then
                __jitid_offer_from "$wanted"
            fi
            ;;
        esac
    done
    return 0
}

# Completes the command that begins at a place in COMP_WORDS as if it stood alone.
__jitid_command() {
    local each
    if declare -F _comp_command_offset >/dev/null; then
        _comp_command_offset "$1"
    elif declare -F _command_offset >/dev/null; then
        _command_offset "$1"
    elif (($1 == COMP_CWORD)); then
        while IFS= read -r each; do
            COMPREPLY+=("$each")
        done <<<"$(compgen -c -- "$current")"
    else
        compopt -o default 2>/dev/null
    fi
}

_jitid() {
    local IFS=$' \t\n'
    local verb='' verbs options arguments wanted='' given=' ' rest='' aside='' argument='' count=0
    local cut='' head='' current word last i
    local -a typed places before
    COMPREPLY=()
    __jitid_read
    last=$((${#typed[@]} - 1))
    # Quotes are read past; nothing is expanded, since that could run something.
    current=${typed[last]//[\"\'\\]/}
    cut=${cut//[\"\'\\]/}
    # An empty list would be an error in an old bash under `set -u`.
    before=('')
    for ((i = 1; i < last; i++)); do
        before[i]=${typed[i]//[\"\'\\]/}
    done
    __jitid_table ''
    for ((i = 1; i < last; i++)); do
        word=${before[i]}
        if [[ -n $aside ]]; then
            aside=''
        elif __jitid_redirects "${typed[i]}"; then
            aside=1
        elif [[ -n $wanted ]]; then
            wanted=''
        elif [[ -z $rest && $word == -- ]]; then
            rest=1
        elif [[ -z $rest && $word == -?* ]]; then
            __jitid_meet "${word%%=*}"
            if [[ $word == *=* ]]; then
                wanted=''
            fi
        elif [[ -n $verbs ]]; then
            if [[ " $verbs " != *" $word "* ]]; then
                return 0
            fi
            verb="${verb:+$verb }$word"
            __jitid_table "$verb"
        elif [[ $arguments == command* ]]; then
            __jitid_command "${places[i]}"
            return 0
        else
            argument=$word count=$((count + 1))
        fi
    done
    if [[ -n $aside ]]; then
        compopt -o default 2>/dev/null
    elif [[ -n $wanted ]]; then
        __jitid_offer_from "$wanted"
    elif [[ -z $rest && $current == -*=* ]]; then
        head="${current%%=*}="
        __jitid_meet "${current%%=*}"
        __jitid_offer_from "$wanted"
    elif [[ -z $rest && $current == -* ]]; then
        __jitid_offer_options
    elif [[ -n $verbs ]]; then
        __jitid_offer $verbs
    elif [[ $arguments == command* ]]; then
        __jitid_command "${places[last]}"
    else
        for wanted in $arguments; do
            if ((count == 0)) || [[ $wanted == *+ ]]; then
                __jitid_offer_from "${wanted%+}"
                return 0
            fi
            count=$((count - 1))
        done
        if [[ -z $rest && -z $current ]]; then
            __jitid_offer_options
        fi
    fi
    return 0
}

complete -F _jitid jitid
